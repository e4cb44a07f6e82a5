import Cache

/// In which order a process tries to claim shards.
struct WorkerOrder {
    /// The dealt shards first; then the others, each worker from another start, so that
    /// workers that come to the end do not all try the same.
    let shards: [Int]
    /// Whether this process may write `teacher.h5`.
    let writesTeacher: Bool

    init(shards count: Int, worker: Worker?) {
        guard let worker else {
            shards = Array(0..<count)
            writesTeacher = true
            return
        }
        let dealt = (0..<count).filter(worker.place.isDealt)
        // With outputs of their own, one part of the cache has the teacher's tables.
        writesTeacher = !worker.onlyDealt || worker.place.index == 0
        guard !worker.onlyDealt else {
            shards = dealt
            return
        }
        let others = (0..<count).filter { !worker.place.isDealt($0) }
        let start = count * worker.place.index / worker.place.count
        shards = dealt + others.filter { $0 >= start } + others.filter { $0 < start }
    }
}
