import Core

/// Base64 between byte arrays, for the subprotocols that browsers speak.
enum Base64Text {
    static func encode(_ bytes: [UInt8]) -> [UInt8] { Array(Encoding.base64(bytes).utf8) }
    static func decode(_ bytes: [UInt8]) -> [UInt8]? { Encoding.decodeBase64(String(decoding: bytes, as: UTF8.self)) }
}
