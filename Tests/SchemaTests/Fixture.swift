import Glibc

/// A file of this folder's `Fixtures`, whole.
func fixture(_ name: String, file: String = #filePath) throws -> String {
    struct Missing: Error { let path: String }
    let folder = file[..<(file.lastIndex(of: "/") ?? file.startIndex)]
    let path = "\(folder)/Fixtures/\(name)"
    guard let stream = fopen(path, "re") else { throw Missing(path: path) }
    defer { fclose(stream) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = fread(&chunk, 1, chunk.count, stream)
        guard count > 0 else { break }
        bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
}
