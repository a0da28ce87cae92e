//! What an answer of a server means for what has come so far.
//!
//! *Invariant:* pure. *Invariant:* bytes are put after others only if the server says, by the validator that it gave, that
//! they belong to the same file; otherwise it begins anew.

use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED,
};
use hyper::{StatusCode, http};

/// What has come of a file, and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Partial {
    pub(super) received_bytes: u64,
    /// The length of the whole file, if the server told.
    pub(super) total_bytes: Option<u64>,
    /// What `If-Range` sends back: a strong ETag, or else the date of the last change.
    pub(super) validator: Option<HeaderValue>,
}

impl Partial {
    /// Whether the server can be asked to go on from here.
    pub(super) fn can_go_on(&self) -> bool {
        self.received_bytes > 0 && self.validator.is_some()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.total_bytes.is_none_or(|total| self.received_bytes == total)
    }
}

/// What to do with the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// It is the whole file, of which this is known.
    FromStart(Partial),
    /// It goes on where the last one broke off.
    GoOn,
}

/// Why a body is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    TooLarge {
        size_bytes: u64,
    },
    /// gzip and the like: other bytes than those of the binary.
    Encoded {
        encoding: String,
    },
    /// Asked again from the start, it may be answered.
    Anew,
    /// Asked again later, it may be answered.
    Later(StatusCode),
    Refused(StatusCode),
}

pub(super) fn judge(
    partial: &Partial,
    status: StatusCode,
    headers: &HeaderMap,
    max_bytes: u64,
) -> Result<Take, NotTaken> {
    let asked_to_go_on = partial.can_go_on();
    match status {
        StatusCode::OK => {
            refuse_encoding(headers)?;
            let whole = Partial {
                received_bytes: 0,
                total_bytes: number(headers, &CONTENT_LENGTH),
                validator: validator(headers),
            };
            refuse_size(whole.total_bytes, max_bytes)?;
            Ok(Take::FromStart(whole))
        }
        StatusCode::PARTIAL_CONTENT if asked_to_go_on => {
            refuse_encoding(headers)?;
            let range = text(headers, &CONTENT_RANGE).and_then(ContentRange::read).ok_or(NotTaken::Anew)?;
            refuse_size(range.total_bytes, max_bytes)?;
            let same_length = match (partial.total_bytes, range.total_bytes) {
                (Some(before), Some(now)) => before == now,
                (None, _) | (_, None) => true,
            };
            // `If-Range` has asked already; a server that heeds it badly is not believed.
            let same_file = validator(headers).is_none_or(|now| Some(now) == partial.validator);
            if range.start == partial.received_bytes && same_length && same_file {
                Ok(Take::GoOn)
            } else {
                Err(NotTaken::Anew)
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE if asked_to_go_on => Err(NotTaken::Anew),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(NotTaken::Later(status)),
        status if status.is_server_error() => Err(NotTaken::Later(status)),
        status => Err(NotTaken::Refused(status)),
    }
}

/// `bytes 100-999/1000`: what a partial answer holds.
struct ContentRange {
    start: u64,
    total_bytes: Option<u64>,
}

impl ContentRange {
    fn read(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (start, _) = range.split_once('-')?;
        let total_bytes = if total == "*" { None } else { Some(total.parse().ok()?) };
        Some(ContentRange { start: start.parse().ok()?, total_bytes })
    }
}

fn refuse_size(told: Option<u64>, max_bytes: u64) -> Result<(), NotTaken> {
    match told {
        Some(size_bytes) if size_bytes > max_bytes => Err(NotTaken::TooLarge { size_bytes }),
        Some(_) | None => Ok(()),
    }
}

fn refuse_encoding(headers: &HeaderMap) -> Result<(), NotTaken> {
    match text(headers, &CONTENT_ENCODING) {
        None | Some("" | "identity") => Ok(()),
        Some(encoding) => Err(NotTaken::Encoded { encoding: encoding.to_owned() }),
    }
}

/// A weak ETag says that two files are alike, not that they are the same.
fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    let strong = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"));
    strong.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &http::HeaderName) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 10_000;

    fn headers(of: &[(HeaderName, &'static str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn judged(partial: &Partial, status: u16, of: &[(HeaderName, &'static str)]) -> Result<Take, NotTaken> {
        judge(partial, StatusCode::from_u16(status).unwrap(), &headers(of), MAX)
    }

    fn broken_off() -> Partial {
        Partial {
            received_bytes: 400,
            total_bytes: Some(1000),
            validator: Some(HeaderValue::from_static("\"a\"")),
        }
    }

    #[test]
    fn it_goes_on_only_with_the_same_file_at_the_same_place() {
        let tag = (ETAG, "\"a\"");
        let go_on = |range, tag| judged(&broken_off(), 206, &[(CONTENT_RANGE, range), tag]);
        assert_eq!(go_on("bytes 400-999/1000", tag.clone()), Ok(Take::GoOn));
        assert_eq!(go_on("bytes 400-999/*", tag.clone()), Ok(Take::GoOn));
        for range in ["bytes 399-999/1000", "bytes 400-1999/2000", "bytes */1000", "lines 400-999/1000", ""] {
            assert_eq!(go_on(range, tag.clone()), Err(NotTaken::Anew), "{range}");
        }
        assert_eq!(go_on("bytes 400-999/1000", (ETAG, "\"b\"")), Err(NotTaken::Anew));
        assert_eq!(judged(&broken_off(), 416, &[]), Err(NotTaken::Anew));
    }

    #[test]
    fn a_whole_file_begins_anew_whatever_had_come() {
        let whole = judged(&broken_off(), 200, &[(CONTENT_LENGTH, "2000"), (ETAG, "\"b\"")]);
        let validator = Some(HeaderValue::from_static("\"b\""));
        assert_eq!(
            whole,
            Ok(Take::FromStart(Partial { received_bytes: 0, total_bytes: Some(2000), validator }))
        );
    }

    #[test]
    fn a_range_that_nobody_asked_for_is_refused() {
        let range = [(CONTENT_RANGE, "bytes 0-999/1000")];
        for nothing in [Partial::default(), Partial { validator: None, ..broken_off() }] {
            for status in [206, 416] {
                let refused = Err(NotTaken::Refused(StatusCode::from_u16(status).unwrap()));
                assert_eq!(judged(&nothing, status, &range), refused);
            }
        }
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_comes() {
        assert_eq!(
            judged(&Partial::default(), 200, &[(CONTENT_LENGTH, "10001")]),
            Err(NotTaken::TooLarge { size_bytes: 10_001 })
        );
        assert!(judged(&Partial::default(), 200, &[(CONTENT_LENGTH, "10000")]).is_ok());
        let unknown = Partial { total_bytes: None, ..broken_off() };
        assert_eq!(
            judged(&unknown, 206, &[(CONTENT_RANGE, "bytes 400-10000/10001")]),
            Err(NotTaken::TooLarge { size_bytes: 10_001 })
        );
    }

    #[test]
    fn only_a_strong_tag_or_a_date_is_sent_back() {
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        let of = |headers: &[(HeaderName, &'static str)]| match judged(&Partial::default(), 200, headers) {
            Ok(Take::FromStart(partial)) => partial.validator,
            other => panic!("{other:?}"),
        };
        let value = |text| Some(HeaderValue::from_static(text));
        assert_eq!(of(&[(ETAG, "\"a\""), (LAST_MODIFIED, date)]), value("\"a\""));
        assert_eq!(of(&[(ETAG, "W/\"a\""), (LAST_MODIFIED, date)]), value(date));
        assert_eq!(of(&[(ETAG, "W/\"a\"")]), None);
    }

    #[test]
    fn a_compressed_body_is_not_the_binary() {
        let gzip = Err(NotTaken::Encoded { encoding: "gzip".to_owned() });
        assert_eq!(judged(&Partial::default(), 200, &[(CONTENT_ENCODING, "gzip")]), gzip);
        assert!(judged(&Partial::default(), 200, &[(CONTENT_ENCODING, "identity")]).is_ok());
    }

    #[test]
    fn a_server_that_is_ill_is_asked_again_and_one_that_refuses_is_not() {
        for later in [408, 429, 500, 502, 503, 504] {
            assert!(matches!(judged(&broken_off(), later, &[]), Err(NotTaken::Later(_))), "{later}");
        }
        for refused in [204, 401, 403, 404, 410] {
            assert!(matches!(judged(&broken_off(), refused, &[]), Err(NotTaken::Refused(_))), "{refused}");
        }
    }

    #[test]
    fn fuzz_answers_never_put_bytes_behind_those_of_another_file() {
        let answers = [
            "206\nbytes 400-999/1000\n\"a\"\n600\n",
            "206\nbytes 400-999/*\n\n\n",
            "200\n\n\"b\"\n2000\nidentity",
            "416\nbytes */1000\n\n\n",
            "503\n\nW/\"a\"\n\ngzip",
        ];
        let words = ["bytes ", "-", "/", "*", "\n", "\"a\"", "W/", "400", "1000", "206"];
        ironcache_fuzz::Campaign::of("answers of a web server").from(answers).words(words).run(|bytes| {
            let mut lines = bytes.split(|byte| *byte == b'\n');
            let status = lines.next().and_then(|code| StatusCode::from_bytes(code).ok())?;
            let names = [CONTENT_RANGE, ETAG, CONTENT_LENGTH, CONTENT_ENCODING];
            let given = names.into_iter().zip(lines);
            let headers: HeaderMap = given
                .filter_map(|(name, value)| Some((name, HeaderValue::from_bytes(value).ok()?)))
                .filter(|(_, value)| !value.is_empty())
                .collect();
            let fresh = judge(&Partial::default(), status, &headers, MAX);
            assert_ne!(fresh, Ok(Take::GoOn), "there is nothing to go on from");
            let judged = judge(&broken_off(), status, &headers, MAX);
            match &judged {
                Ok(Take::GoOn) => {
                    let same = validator(&headers).is_none_or(|now| Some(now) == broken_off().validator);
                    let range = text(&headers, &CONTENT_RANGE).expect("it says what it holds");
                    let first = range.strip_prefix("bytes ").and_then(|range| range.split('-').next());
                    assert!(same && first.is_some_and(|first| first.parse() == Ok(400)), "{headers:?}");
                }
                Ok(Take::FromStart(whole)) => {
                    assert!(status == StatusCode::OK && whole.received_bytes == 0);
                    assert!(whole.total_bytes.is_none_or(|total| total <= MAX));
                }
                Err(_) => {}
            }
            Some(judged.map(|take| std::mem::discriminant(&take)).map_err(|no| std::mem::discriminant(&no)))
        });
    }
}
