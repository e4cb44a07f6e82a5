extension CacheManifest {
    /// SHA-256 of all that the manifest says but for the page for people.
    ///
    /// Two manifests that agree in it list the same examples and teacher, whatever README.md says;
    /// `checksum` changes with README.md too.
    public func contentSHA256() throws -> String {
        var copy = self
        copy.checksum = ""
        copy.readme = FileEntry(plain: CacheLayout.readme, [])
        return sha256(of: try canonicalJSON(copy))
    }
}
