import CZlib

/// The two zlib streams of a SPDY/3.1 connection; header blocks must pass through them in the order of the wire.
package final class SPDYHeaderCodec {
    private let deflater: UnsafeMutablePointer<z_stream>
    private let inflater: UnsafeMutablePointer<z_stream>
    static let maximumBlock = 256 * 1024

    package init() {
        deflater = .allocate(capacity: 1)
        deflater.initialize(to: z_stream())
        inflater = .allocate(capacity: 1)
        inflater.initialize(to: z_stream())
        let size = Int32(MemoryLayout<z_stream>.size)
        let dictionary = SPDYHeaderCodec.dictionary
        guard deflateInit_(deflater, Z_DEFAULT_COMPRESSION, ZLIB_VERSION, size) == Z_OK,
            deflateSetDictionary(deflater, dictionary, UInt32(dictionary.count)) == Z_OK,
            inflateInit_(inflater, ZLIB_VERSION, size) == Z_OK
        else { preconditionFailure("zlib does not start") }
    }

    deinit {
        deflateEnd(deflater)
        inflateEnd(inflater)
        deflater.deallocate()
        inflater.deallocate()
    }

    package func encode(_ headers: HTTPHeaders) -> [UInt8] {
        var names: [String] = []
        var values: [[UInt8]] = []
        for field in headers.fields {
            let name = HTTPHeaders.lowercased(field.name)
            if let index = names.firstIndex(of: name) {
                values[index] += [0] + Array(field.value.utf8)
            } else {
                names.append(name)
                values.append(Array(field.value.utf8))
            }
        }
        var plain: [UInt8] = []
        plain.put32(names.count)
        for (name, value) in zip(names, values) {
            plain.put32(name.utf8.count)
            plain += Array(name.utf8)
            plain.put32(value.count)
            plain += value
        }
        return compress(plain)
    }

    /// nil where the block is damaged or expands beyond all measure: the connection cannot go on.
    func decode(_ block: ArraySlice<UInt8>) -> HTTPHeaders? {
        guard let plain = decompress(Array(block)) else { return nil }
        var at = 0
        func number() -> Int? {
            guard at + 4 <= plain.count else { return nil }
            defer { at += 4 }
            return Int(plain[at]) << 24 | Int(plain[at + 1]) << 16 | Int(plain[at + 2]) << 8 | Int(plain[at + 3])
        }
        func text() -> [UInt8]? {
            guard let count = number(), at + count <= plain.count else { return nil }
            defer { at += count }
            return Array(plain[at..<(at + count)])
        }
        guard let count = number(), count <= 1000 else { return nil }
        var headers = HTTPHeaders()
        for _ in 0..<count {
            guard let name = text(), let value = text() else { return nil }
            for part in value.split(separator: 0, omittingEmptySubsequences: false) {
                headers.append(String(decoding: name, as: UTF8.self), String(decoding: part, as: UTF8.self))
            }
        }
        return headers
    }

    private func compress(_ plain: [UInt8]) -> [UInt8] {
        var plain = plain
        var out = [UInt8](repeating: 0, count: plain.count + 1024)
        var written = 0
        plain.withUnsafeMutableBufferPointer { input in
            deflater.pointee.next_in = input.baseAddress
            deflater.pointee.avail_in = UInt32(input.count)
            while true {
                let room = out.count - written
                out.withUnsafeMutableBufferPointer { output in
                    deflater.pointee.next_out = output.baseAddress.map { $0 + written }
                    deflater.pointee.avail_out = UInt32(room)
                    deflate(deflater, Z_SYNC_FLUSH)
                }
                written += room - Int(deflater.pointee.avail_out)
                if deflater.pointee.avail_out > 0 { break }
                out += [UInt8](repeating: 0, count: 4096)
            }
        }
        return Array(out[0..<written])
    }

    private func decompress(_ block: [UInt8]) -> [UInt8]? {
        var block = block
        var out: [UInt8] = []
        var scratch = [UInt8](repeating: 0, count: 4096)
        var failed = false
        block.withUnsafeMutableBufferPointer { input in
            inflater.pointee.next_in = input.baseAddress
            inflater.pointee.avail_in = UInt32(input.count)
            while true {
                var code: Int32 = Z_OK
                let produced = scratch.withUnsafeMutableBufferPointer { output -> Int in
                    inflater.pointee.next_out = output.baseAddress
                    inflater.pointee.avail_out = UInt32(output.count)
                    code = inflate(inflater, Z_SYNC_FLUSH)
                    return output.count - Int(inflater.pointee.avail_out)
                }
                out += scratch[0..<produced]
                if code == Z_NEED_DICT {
                    let dictionary = SPDYHeaderCodec.dictionary
                    guard inflateSetDictionary(inflater, dictionary, UInt32(dictionary.count)) == Z_OK else {
                        failed = true
                        return
                    }
                    continue
                }
                guard code == Z_OK || code == Z_BUF_ERROR, out.count <= SPDYHeaderCodec.maximumBlock else {
                    failed = true
                    return
                }
                if inflater.pointee.avail_in == 0 && produced < scratch.count || code == Z_BUF_ERROR { return }
            }
        }
        return failed ? nil : out
    }

    /// The dictionary of SPDY/3: words with their lengths, then text.
    static let dictionary: [UInt8] = {
        let words = """
            options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow \
            authorization cache-control connection content-base content-encoding content-language content-length \
            content-location content-md5 content-range content-type date etag expect expires from host if-match \
            if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
            proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
            user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie \
            keep-alive origin
            """
        let tail = """
            100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
            203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
            403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
            Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
            chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
            text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.
            """
        var out: [UInt8] = []
        for word in words.utf8.split(separator: 0x20) {
            out.put32(word.count)
            out += word.map { $0 == 0x5F ? 0x20 : $0 }
        }
        return out + Array(tail.utf8)
    }()
}

extension [UInt8] {
    mutating func put32(_ value: Int) {
        for shift in stride(from: 24, through: 0, by: -8) { append(UInt8(truncatingIfNeeded: value >> shift)) }
    }
}
