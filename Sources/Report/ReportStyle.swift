/// How the report looks: on light and dark screens, on phones, and on paper.
enum ReportStyle {
    static let css = """
        :root{color-scheme:light dark;--paper:#fff;--card:#f6f8fa;--ink:#1f2328;--soft:#57606a;--faint:#d4d8dd;\
        --link:#0969da;--good:#116329;--bad:#a40e26}
        @media screen and (prefers-color-scheme:dark){:root{--paper:#15181c;--card:#1d2126;--ink:#e3e6ea;\
        --soft:#a5adb8;--faint:#3a4048;--link:#6cb6ff;--good:#57d47a;--bad:#ff8f8f}}
        *{box-sizing:border-box}
        html{scroll-behavior:smooth}
        @media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
        body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 auto;\
        padding:0 1rem 3rem;max-width:80rem;overflow-wrap:anywhere}
        a{color:var(--link)}
        :focus-visible{outline:2px solid var(--link);outline-offset:2px}
        .skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--paper);padding:.5rem}
        .unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
        h1{font-size:1.6rem;line-height:1.25;margin:1.5rem 0 .5rem}
        h2{font-size:1.25rem;margin:2.25rem 0 .5rem;padding-top:.75rem;border-top:1px solid var(--faint)}
        h3{font-size:1.05rem;margin:1.5rem 0 .5rem}
        p,figcaption,li{max-width:52rem}
        nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;list-style:none;margin:0;padding:0}
        nav a{display:inline-block;padding:.2rem 0}
        .lead{font-size:1.1rem;margin:.75rem 0}
        .soft,small,figcaption,footer{color:var(--soft)}
        .advice{list-style:none;padding:0;margin:.75rem 0}
        .advice li{border-left:4px solid var(--faint);background:var(--card);padding:.5rem .75rem;margin:.4rem 0}
        .advice li.bad{border-color:var(--bad)}.advice li.good{border-color:var(--good)}
        .pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,25rem),1fr));gap:1rem}
        .maps{grid-template-columns:repeat(auto-fill,minmax(min(100%,34rem),1fr))}
        figure{margin:0;border:1px solid var(--faint);border-radius:8px;padding:.5rem;min-width:0;\
        break-inside:avoid}
        figure svg{max-width:100%;height:auto;display:block}
        .pictures:not(.maps) svg{width:100%}
        .picture{overflow-x:auto}
        .maps svg{max-width:none}
        figcaption{font-size:.9rem;margin:.25rem .25rem 0}
        .wide{overflow-x:auto;margin:0 0 .75rem;position:relative}
        table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.95rem}
        .caption{color:var(--soft);margin:.75rem 0 0;font-size:.9rem}
        th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid var(--faint);vertical-align:top;\
        white-space:nowrap}
        th:first-child{text-align:left}
        thead th{font-weight:600}tbody th{font-weight:500}
        td small{display:block;font-size:.78rem}
        td.better{color:var(--good);font-weight:600}td.worse{color:var(--bad);font-weight:600}
        details{margin:.4rem .25rem}
        summary{cursor:pointer;color:var(--link);padding:.2rem 0}
        .example{border:1px solid var(--faint);border-radius:8px;background:var(--card);\
        padding:.5rem .75rem;margin:.75rem 0;break-inside:avoid}
        .example h4{margin:.25rem 0;font-size:.95rem}
        .texts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,15rem),1fr));gap:.5rem 1rem}
        .texts h5{margin:.25rem 0;font-size:.85rem;color:var(--soft);font-weight:600}
        .said{white-space:pre-wrap;margin:0;max-height:16rem;overflow-y:auto;font-size:.93rem;unicode-bidi:isolate}
        dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:.75rem 0}
        dt{color:var(--soft)}dd{margin:0}
        #live{color:var(--soft);margin:.25rem 0}
        code{font-size:.92em}
        @media (max-width:40rem){body{padding:0 .75rem 2rem}h1{font-size:1.3rem}dl{display:block}dd{margin:0 0 .4rem}}
        @media print{nav,.skip{display:none}.said{max-height:none}.wide,.picture{overflow:visible}\
        details::details-content{display:block;content-visibility:visible}body{max-width:none;font-size:11pt}\
        .pictures{grid-template-columns:1fr 1fr}.maps{grid-template-columns:1fr}.maps svg{max-width:100%}}
        """
}
