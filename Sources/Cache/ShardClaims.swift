import Foundation

/// The claims of a cache that is being made: `claims/NAME.claim`, one file for each.
///
/// No lock of the file system is needed: a claim is made by giving a finished file a second name,
/// which fails when that name is there, and taken over by renaming the dead one away.
struct ShardClaims {
    static let folder = "claims"
    private static let suffix = ".claim"

    /// A claim that is there.
    struct Found {
        let name: String
        /// Nil when the file does not say.
        let owner: ShardClaimOwner?
        /// Seconds since it was touched last, by the file system's clock.
        let age: Int
        fileprivate let status: stat

        func isDead(for claims: ShardClaims) -> Bool {
            age > claims.timeout || owner?.isGone(for: claims.worker) == true
        }

        /// "worker 3 of 8 (host node7, process 123, 20 s ago)".
        var words: String {
            guard let owner else { return "an unknown process (\(age) s ago)" }
            return "\(owner.worker) (host \(owner.host), process \(owner.pid), \(age) s ago)"
        }
    }

    let directory: URL
    /// Seconds without a touch after which a claim is dead.
    let timeout: Int

    /// Who claims; nil for a run that is none of several workers.
    let worker: CacheWorker?

    init(cache: URL, timeout: Int, worker: CacheWorker?) {
        directory = cache.appendingPathComponent(Self.folder)
        self.timeout = timeout
        self.worker = worker
    }

    /// Takes `name`, at once or from a dead holder; nil when a live one has it.
    ///
    /// - Throws: `CacheError` when the file system refuses.
    func take(_ name: String) throws -> ShardClaim? {
        let owner = ShardClaimOwner.current(worker: worker)
        let path = self.path(name)
        // Twice: what is there may go, or be moved away as dead. Whoever is quicker then has it.
        for _ in 0..<2 {
            if let found = try look(name) {
                guard found.isDead(for: self), try remove(found) else { return nil }
            }
            if let descriptor = try create(path, owner) {
                return ShardClaim(path: path, descriptor: descriptor, timeout: timeout)
            }
        }
        return nil
    }

    /// The claims whose holders live.
    func live() throws -> [Found] {
        try all().filter { !$0.isDead(for: self) }
    }

    /// Every claim that is there.
    func all() throws -> [Found] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        let claims = names.sorted().filter { $0.hasSuffix(Self.suffix) }
        guard !claims.isEmpty else { return [] }
        let now = try now()
        return try claims.compactMap { try look(String($0.dropLast(Self.suffix.count)), now: now) }
    }

    /// Removes what dead processes left, and the folder when that leaves it empty.
    func clean() throws {
        for found in try all() where found.isDead(for: self) { _ = try remove(found) }
        rmdir(directory.path)
    }

    /// Whether the open file and the name are the same file.
    static func isSame(_ descriptor: Int32, _ path: String) -> Bool {
        var open = stat()
        var named = stat()
        return fstat(descriptor, &open) == 0 && lstat(path, &named) == 0
            && isSame(open, named)
    }

    private static func isSame(_ a: stat, _ b: stat) -> Bool {
        a.st_ino == b.st_ino && a.st_dev == b.st_dev
    }

    private func path(_ name: String) -> String {
        directory.appendingPathComponent(name + Self.suffix).path
    }

    private func temporary(_ nonce: String) -> String {
        directory.appendingPathComponent(".\(nonce)\(DurableFile.temporarySuffix)").path
    }

    /// Makes the claim with its content at once; nil when the name is there already.
    private func create(_ path: String, _ owner: ShardClaimOwner) throws -> Int32? {
        let temporary = temporary(owner.nonce)
        let descriptor = try openNew(temporary)
        var isKept = false
        defer {
            unlink(temporary)
            if !isKept { close(descriptor) }
        }
        let text = try canonicalJSON(owner, lines: false)
        try DurableFile.writeAll(text, to: descriptor, path: path)
        try DurableFile.flush(descriptor, path: path, needed: text.count)
        if link(temporary, path) == 0 {
            isKept = true
            return descriptor
        }
        let code = errno
        if code == EEXIST {
            // NFS can lose the answer and report its own success as a name that is there.
            isKept = Self.isSame(descriptor, path)
            return isKept ? descriptor : nil
        }
        guard code == EPERM || code == ENOSYS || code == EOPNOTSUPP || code == EMLINK else {
            throw CacheError.system(path, "link", code: code, needed: text.count)
        }
        // A file system without hard links: the name first, then the content. A kill in between
        // leaves an empty claim, which is dead after the timeout.
        let claim = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o644)
        if claim < 0 && errno == EEXIST { return nil }
        guard claim >= 0 else { throw CacheError.system(path, "create", code: errno) }
        do { try DurableFile.writeAll(text, to: claim, path: path) } catch {
            unlink(path)
            close(claim)
            throw error
        }
        return claim
    }

    private func openNew(_ path: String) throws -> Int32 {
        for _ in 0..<10 {
            let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
            if descriptor >= 0 { return descriptor }
            // Another process that ended may have removed the empty folder just now.
            guard errno == ENOENT else { break }
            guard mkdir(directory.path, 0o755) == 0 || errno == EEXIST else { break }
        }
        throw CacheError.system(path, "create", code: errno, needed: 512)
    }

    /// The claim `name` as it is now; nil when nobody has it.
    func look(_ name: String, now: Int? = nil) throws -> Found? {
        guard let (owner, status) = try read(path(name)) else { return nil }
        let age = max(0, try (now ?? self.now()) - Int(status.st_mtim.tv_sec))
        return Found(name: name, owner: owner, age: age, status: status)
    }

    /// What a claim's file says, and its times; nil when it is not there.
    private func read(_ path: String) throws -> (ShardClaimOwner?, stat)? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        if descriptor < 0 && (errno == ENOENT || errno == ESTALE) { return nil }
        guard descriptor >= 0 else { throw CacheError.system(path, "open", code: errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw CacheError.system(path, "stat", code: errno)
        }
        let size = min(max(0, try DurableFile.size(descriptor, path: path)), 4096)
        var bytes = [UInt8](repeating: 0, count: size)
        try bytes.withUnsafeMutableBytes {
            try DurableFile.readAll(descriptor, path: path, offset: 0, into: $0)
        }
        return (try? JSONDecoder().decode(ShardClaimOwner.self, from: Data(bytes)), status)
    }

    /// The file system's time: clocks of machines differ, and claims are touched in its time.
    private func now() throws -> Int {
        let path = temporary("clock-" + ShardClaimOwner.newNonce())
        let descriptor = try openNew(path)
        defer {
            unlink(path)
            close(descriptor)
        }
        var status = stat()
        guard futimens(descriptor, nil) == 0, fstat(descriptor, &status) == 0 else {
            throw CacheError.system(path, "touch", code: errno)
        }
        return Int(status.st_mtim.tv_sec)
    }

    /// Takes a dead claim away.
    ///
    /// Of several processes that find the same one dead, a rename lets one win. Between looking and
    /// renaming another may have taken it over already: then what was moved is not what was looked
    /// at, and gets its name back.
    /// - Returns: False when somebody else has the name now.
    func remove(_ found: Found) throws -> Bool {
        let path = path(found.name)
        let aside = temporary(ShardClaimOwner.newNonce())
        guard rename(path, aside) == 0 else {
            if errno == ENOENT || errno == ESTALE { return true }
            throw CacheError.system(path, "rename", code: errno)
        }
        defer { unlink(aside) }
        // Numbers of files are used again, so that the content has to agree too.
        guard let (owner, status) = try read(aside), owner == found.owner,
            Self.isSame(status, found.status),
            status.st_mtim.tv_sec == found.status.st_mtim.tv_sec
        else {
            _ = link(aside, path)
            return false
        }
        return true
    }
}
