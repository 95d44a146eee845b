import Core

/// Base64 as documents and tokens carry it: one alphabet, and padding as it must be there.
package enum Base64 {
    /// Standard base64 with padding, which is how JSON carries bytes.
    package static func encode(_ bytes: some Sequence<UInt8>) -> String { Encoding.base64(bytes) }
    /// The URL-safe alphabet without padding, as tokens use it.
    package static func encodeURL(_ bytes: some Sequence<UInt8>) -> String { Encoding.base64URL(bytes) }

    /// Nil where the text is no padded base64; line breaks are skipped, as Go's decoder does.
    package static func decode(_ text: String) -> [UInt8]? { Encoding.decodeBase64(text, .standard) }
    package static func decodeURL(_ text: String) -> [UInt8]? { Encoding.decodeBase64(text, .urlSafe) }
}
