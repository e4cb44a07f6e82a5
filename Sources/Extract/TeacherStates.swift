import Tensors

/// Hidden states of the wanted rows of a block, end to end.
struct TeacherStates {
    /// (rows, D) after the last block and the final norm.
    var final: Matrix
    /// (rows, D) of other layers: 0 is the embedding, i the output of block i.
    var layers: [Int: Matrix] = [:]
}
