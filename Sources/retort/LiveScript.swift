/// What keeps the page up to date.
enum LiveScript {
    /// Sections that have changed are put in the place of the old ones, unless somebody is in them.
    static let text = """
        "use strict";
        const every = 3000;
        const shown = new WeakMap();
        const time = () => new Date().toLocaleTimeString();
        const told = document.createElement("p");
        told.id = "live";
        document.querySelector("header").append(told);
        const parts = (from) => [...from.children];
        // Where somebody is inside, only what is around them is renewed.
        function put(fresh, old) {
          const text = fresh.outerHTML;
          if (shown.get(old) === text) return;
          if (old.contains(document.activeElement) && old !== document.activeElement
              && parts(old).length > 0 && parts(old).length === parts(fresh).length) {
            const olds = parts(old);
            parts(fresh).forEach((one, at) => put(one, olds[at]));
            return;
          }
          if (old === document.activeElement) return;
          const open = [...old.querySelectorAll("details")].map((one) => one.open);
          fresh = document.importNode(fresh, true);
          shown.set(fresh, text);
          fresh.querySelectorAll("details").forEach((one, at) => { one.open = open[at] ?? one.open; });
          if (old.tagName === "DETAILS") fresh.open = old.open;
          old.replaceWith(fresh);
        }
        async function refresh() {
          try {
            const answer = await fetch("/", { cache: "no-store" });
            if (!answer.ok) throw new Error(await answer.text());
            const page = new DOMParser().parseFromString(await answer.text(), "text/html");
            const ids = (from) => [...from.querySelectorAll("main > section")].map((one) => one.id);
            if (ids(page).join() !== ids(document).join()) { location.reload(); return; }
            for (const id of ids(page)) put(page.getElementById(id), document.getElementById(id));
            told.textContent = "Live: renewed at " + time() + ".";
          } catch (problem) {
            told.textContent = "Not renewed at " + time() + ": " + problem.message;
          }
          setTimeout(refresh, every);
        }
        told.textContent = "Live: renewed every three seconds.";
        setTimeout(refresh, every);

        """
}
