extension Double {
    /// The power, by multiplications alone: the same on every machine.
    func raised(to exponent: Int) -> Double {
        var (result, factor, rest) = (1.0, self, exponent)
        while rest > 0 {
            if rest & 1 == 1 { result *= factor }
            factor *= factor
            rest >>= 1
        }
        return result
    }
}
