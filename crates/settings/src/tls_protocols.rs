//! Which versions of TLS are spoken, as Redis writes it: `TLSv1.2 TLSv1.3`.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsProtocols {
    Both,
    Only12,
    Only13,
}

impl TlsProtocols {
    /// `None` for any other version, and for none at all.
    pub fn parse(text: &str) -> Option<TlsProtocols> {
        let (mut v12, mut v13) = (false, false);
        for word in text.split_ascii_whitespace() {
            match word.to_ascii_lowercase().as_str() {
                "tlsv1.2" => v12 = true,
                "tlsv1.3" => v13 = true,
                _ => return None,
            }
        }
        match (v12, v13) {
            (true, true) => Some(TlsProtocols::Both),
            (true, false) => Some(TlsProtocols::Only12),
            (false, true) => Some(TlsProtocols::Only13),
            (false, false) => None,
        }
    }
}

impl fmt::Display for TlsProtocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsProtocols::Both => "TLSv1.2 TLSv1.3",
            TlsProtocols::Only12 => "TLSv1.2",
            TlsProtocols::Only13 => "TLSv1.3",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_any_order_and_case_and_print_as_redis_writes_them() {
        for (text, read) in [
            ("TLSv1.2 TLSv1.3", TlsProtocols::Both),
            ("tlsv1.3  TLSV1.2", TlsProtocols::Both),
            ("TLSv1.2", TlsProtocols::Only12),
            ("TLSv1.3", TlsProtocols::Only13),
        ] {
            assert_eq!(TlsProtocols::parse(text), Some(read), "{text}");
            assert_eq!(TlsProtocols::parse(&read.to_string()), Some(read));
        }
    }

    #[test]
    fn older_versions_and_none_are_refused() {
        for text in ["", "TLSv1", "TLSv1.1 TLSv1.2", "SSLv3", "1.3", "TLSv1.2,TLSv1.3"] {
            assert_eq!(TlsProtocols::parse(text), None, "{text}");
        }
    }
}
