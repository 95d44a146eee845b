import Machinery

/// Addresses and networks as upstream's older fields take them.
enum AddressFormat {
    static func address(_ text: String) -> [String] {
        StringFormat.isIPv4(text) || StringFormat.isIPv6(text) ? [] : ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    }

    static func network(_ text: String) -> [String] {
        StringFormat.isCIDR(text) ? [] : ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    }
}
