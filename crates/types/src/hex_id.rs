//! What a random id is as text and in formats.

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: 1 to {digits_max} hex digits are expected")]
pub struct ParseIdError {
    pub text: String,
    /// With its article: "a node id".
    pub what: &'static str,
    pub digits_max: usize,
}

/// Gives `$name($number)` its text: all its hex digits. Formats that people read (JSON, TOML) carry the text,
/// bincode the number as it is.
macro_rules! hex_id {
    ($name:ident($number:ty), $what:literal) => {
        impl $name {
            const DIGITS: usize = size_of::<$number>() * 2;
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:0width$x}", self.0, width = Self::DIGITS)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ParseIdError;

            fn from_str(text: &str) -> Result<Self, $crate::ParseIdError> {
                // The standard parser would let a sign through.
                let digits = text.len() <= Self::DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
                let number = digits.then(|| <$number>::from_str_radix(text, 16).ok()).flatten();
                number.map($name).ok_or_else(|| $crate::ParseIdError {
                    text: text.to_owned(),
                    what: $what,
                    digits_max: Self::DIGITS,
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(f, "{} as a string of 1 to {} hex digits", $what, $name::DIGITS)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Text)
                } else {
                    <$number>::deserialize(deserializer).map($name)
                }
            }
        }
    };
}

pub(crate) use hex_id;

#[cfg(test)]
mod tests {
    use crate::{ClusterId, Incarnation, Member, NodeId, RequestId};
    use std::collections::BTreeMap;

    /// Above 2^53: a reader that takes numbers for doubles would round it.
    const BIG: u64 = 0x0fed_cba9_8765_4321;

    #[test]
    fn json_carries_the_text_that_people_see() {
        let member = Member { node: NodeId(BIG), incarnation: Incarnation(7) };
        let json = serde_json::to_string(&member).unwrap();
        assert_eq!(json, r#"{"node":"0fedcba987654321","incarnation":"0000000000000007"}"#);
        assert_eq!(serde_json::from_str::<Member>(&json).unwrap(), member);
        let wide = (ClusterId(u128::from(BIG)), RequestId(u128::MAX));
        let json = serde_json::to_string(&wide).unwrap();
        assert_eq!(json, r#"["00000000000000000fedcba987654321","ffffffffffffffffffffffffffffffff"]"#);
        assert_eq!(serde_json::from_str::<(ClusterId, RequestId)>(&json).unwrap(), wide);
    }

    #[test]
    fn an_id_is_a_key_of_a_json_object_too() {
        let map = BTreeMap::from([(NodeId(BIG), 1)]);
        let json = serde_json::to_string(&map).unwrap();
        assert_eq!(json, r#"{"0fedcba987654321":1}"#);
        assert_eq!(serde_json::from_str::<BTreeMap<NodeId, u8>>(&json).unwrap(), map);
        let value = serde_json::from_str::<serde_json::Value>(&json).unwrap();
        assert_eq!(serde_json::from_value::<BTreeMap<NodeId, u8>>(value).unwrap(), map);
    }

    #[test]
    fn what_is_no_id_is_refused_with_what_was_expected() {
        let refused = |json: &str| serde_json::from_str::<NodeId>(json).unwrap_err().to_string();
        let number = refused("7");
        assert!(number.contains("expected a node id as a string of 1 to 16 hex digits"), "{number}");
        for text in ["", "+1", "g", "00000000000000001", " 1", "é"] {
            let error = refused(&format!("{text:?}"));
            let told = format!("{text:?} is not a node id: 1 to 16 hex digits are expected");
            assert!(error.starts_with(&told), "{error}");
        }
        assert_eq!("1f".parse(), Ok(NodeId(0x1f)), "leading zeros may be left out");
    }
}
