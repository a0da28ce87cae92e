//! The first contact: a secret that a person, or a Secret of the cluster's host, carries from one side to the other, before
//! any key is pinned.
//!
//! ```text
//!   caller                                     called
//!     ├──────────── TLS 1.3, both keys ──────────┤     nobody knows yet whose they are
//!     ├─ HMAC(code, "caller", session, keys) ───►│     holds the code, on this very connection
//!     │◄─ HMAC(code, "called", session, keys) ───┤     so does the other: from here on the keys are known
//! ```
//! The session's part is TLS' exporter. Somebody in the middle has two sessions, with two exporters, and a proof for one is
//! none for the other. The exporter covers the key of who was called, and not that of the caller (RFC 8446, section 7.1: it
//! is drawn before that is sent), so both keys are named beside it.
//!
//! *Invariant:* the code never travels, and neither does anything from which it could be guessed: it has 120 bits.
//! *Invariant:* a proof is of one direction of one connection: sent back it proves nothing.

use crate::secret_file::{self, Made, SecretFileError};
use crate::tls::{Exported, Session};
use ironcache_types::{Digest, KeyHash};
use ring::hmac;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// 120 bits: nobody tries them out, and they are 24 letters without a rest.
const CODE_BYTES: usize = 15;
const CODE_LETTERS: usize = CODE_BYTES * 8 / 5;
const GROUP: usize = 4;

/// Crockford's: without letters that are taken for others when a code is read aloud.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Shown as `7k3f-09qz-…`, six groups of four.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinCode([u8; CODE_BYTES]);

/// Which side of the connection proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Caller,
    Called,
}

/// That its sender holds the code, on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof(pub [u8; 32]);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no join code: {CODE_LETTERS} letters and digits are expected, as a node prints them")]
pub struct ParseJoinCodeError;

/// Why there is no code in a file.
#[derive(Debug, thiserror::Error)]
pub enum CodeFileError {
    #[error(transparent)]
    File(#[from] SecretFileError),
    #[error("the system gives no random numbers for a join code")]
    Random(#[source] getrandom::Error),
    #[error("{}", path.display())]
    NotACode { path: PathBuf, source: ParseJoinCodeError },
}

impl JoinCode {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn draw() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; CODE_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(JoinCode(bytes))
    }

    /// The code in `path`; a new one, durable there, if there is no such file.
    ///
    /// # Errors
    /// The file cannot be read or written, others may read it, or it holds something else.
    pub fn load_or_draw(path: &Path) -> Result<Self, CodeFileError> {
        let bytes = match secret_file::read(path)? {
            Some(bytes) => bytes,
            None => {
                let code = Self::draw().map_err(CodeFileError::Random)?;
                if secret_file::create(path, format!("{code}\n").as_bytes())? == Made::Now {
                    return Ok(code);
                }
                secret_file::read(path)?.unwrap_or_default()
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        text.trim().parse().map_err(|source| CodeFileError::NotACode { path: path.to_owned(), source })
    }

    /// What the log knows of a code that was used: nobody can use it for anything.
    pub fn digest(&self) -> Digest {
        Digest(Sha256::new().chain_update(b"ironcache join code\0").chain_update(self.0).finalize().into())
    }

    /// What `side` sends to prove that it holds the code.
    pub fn prove(&self, side: Side, session: &Session) -> Proof {
        let tag = hmac::sign(&self.key(), &message(side, session));
        Proof(tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes"))
    }

    /// Did `side` hold the code? Takes as long whatever is wrong.
    pub fn is_proved_by(&self, proof: &Proof, side: Side, session: &Session) -> bool {
        hmac::verify(&self.key(), &message(side, session), &proof.0).is_ok()
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

/// Each part has one length, but for the caller's key, which a byte before it announces.
fn message(side: Side, session: &Session) -> Vec<u8> {
    let Session { peer: _, caller, called, exported: Exported(exported) } = session;
    let side: &[u8] = match side {
        Side::Caller => b"ironcache join 1: caller\0",
        Side::Called => b"ironcache join 1: called\0",
    };
    let KeyHash(Digest(called)) = called;
    let caller: Vec<u8> = match caller {
        Some(KeyHash(Digest(caller))) => [&[1], &caller[..]].concat(),
        None => vec![0],
    };
    [side, exported, called, &caller].concat()
}

impl fmt::Display for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |at: usize| {
            let bits = (0..5)
                .map(|bit| at * 5 + bit)
                .fold(0, |bits, bit| bits << 1 | usize::from(self.0[bit / 8] >> (7 - bit % 8) & 1));
            char::from(LETTERS[bits])
        };
        let text: String = (0..CODE_LETTERS)
            .flat_map(|at| (at > 0 && at % GROUP == 0).then_some('-').into_iter().chain([letter(at)]))
            .collect();
        f.write_str(&text)
    }
}

impl fmt::Debug for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinCode(..)")
    }
}

impl FromStr for JoinCode {
    type Err = ParseJoinCodeError;

    /// Hyphens, spaces and capitals are a matter of taste; `o`, `i` and `l` are what they look like.
    fn from_str(text: &str) -> Result<Self, ParseJoinCodeError> {
        let letters: Vec<u8> = text
            .bytes()
            .filter(|byte| *byte != b'-' && !byte.is_ascii_whitespace())
            .map(|byte| match byte.to_ascii_lowercase() {
                b'o' => b'0',
                b'i' | b'l' => b'1',
                other => other,
            })
            .collect();
        if letters.len() != CODE_LETTERS {
            return Err(ParseJoinCodeError);
        }
        let mut bytes = [0; CODE_BYTES];
        for (at, letter) in letters.iter().enumerate() {
            let bits = LETTERS.iter().position(|known| known == letter).ok_or(ParseJoinCodeError)?;
            for bit in (0..5).filter(|bit| bits >> (4 - bit) & 1 == 1) {
                let place = at * 5 + bit;
                bytes[place / 8] |= 1 << (7 - place % 8);
            }
        }
        Ok(JoinCode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(exported: u8) -> Session {
        let key = |fill| KeyHash(Digest([fill; 32]));
        Session {
            peer: Some(key(2)),
            caller: Some(key(1)),
            called: key(2),
            exported: Exported([exported; 32]),
        }
    }

    #[test]
    fn a_code_reads_what_it_shows_and_what_people_make_of_it() {
        let code = JoinCode(std::array::from_fn(|at| at as u8 * 17));
        let text = code.to_string();
        assert_eq!(text, "008j-4ct4-ank7-f24s-naxw-sqfe");
        assert_eq!(text.len(), 29);
        for said in [text.clone(), text.to_uppercase(), text.replace('-', " "), text.replace('0', "O")] {
            assert_eq!(said.parse(), Ok(code.clone()), "{said}");
        }
        for odd in ["", "008j-4ct4", "u08j-4ct4-ank7-f24s-naxw-sqfe", "é08j-4ct4-ank7-f24s-naxw-sqf"] {
            assert_eq!(odd.parse::<JoinCode>(), Err(ParseJoinCodeError), "{odd}");
        }
        assert_ne!(JoinCode::draw().unwrap(), JoinCode::draw().unwrap());
        assert_eq!(format!("{code:?}"), "JoinCode(..)");
    }

    #[test]
    fn a_code_is_drawn_once_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("join.code");
        let drawn = JoinCode::load_or_draw(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(JoinCode::load_or_draw(&path).unwrap(), drawn);
        secret_file::write(&path, b"secret").unwrap();
        let error = JoinCode::load_or_draw(&path).unwrap_err();
        assert!(matches!(error, CodeFileError::NotACode { .. }) && !format!("{error:?}").contains("secret"));
    }

    /// This file never changes: the two sides are often of different releases, and the log keeps the digest.
    #[test]
    fn what_two_releases_prove_to_each_other_stays_as_it_is() {
        let code = JoinCode([1; 15]);
        let hex = |Proof(bytes): Proof| Digest(bytes).to_string();
        let nobody = Session { caller: None, ..session(7) };
        let text = format!(
            "exporter: {}\ncode: {code}\ndigest: {}\ncaller: {}\ncalled: {}\ncaller without a key: {}\n",
            String::from_utf8_lossy(crate::tls::EXPORTER_LABEL),
            code.digest(),
            hex(code.prove(Side::Caller, &session(7))),
            hex(code.prove(Side::Called, &session(7))),
            hex(code.prove(Side::Caller, &nobody)),
        );
        assert_eq!(text, include_str!("../tests/golden/join-1"));
    }

    #[test]
    fn a_proof_holds_for_its_code_its_side_and_its_connection_only() {
        let (code, other) = (JoinCode([1; 15]), JoinCode([2; 15]));
        let here = session(7);
        let proof = code.prove(Side::Caller, &here);
        assert!(code.is_proved_by(&proof, Side::Caller, &here));
        assert!(!other.is_proved_by(&proof, Side::Caller, &here), "another code");
        assert!(!code.is_proved_by(&proof, Side::Called, &here), "sent back");
        assert!(!code.is_proved_by(&proof, Side::Caller, &session(8)), "carried to another connection");
        let somebody = Session { caller: Some(KeyHash(Digest([9; 32]))), ..here.clone() };
        assert!(!code.is_proved_by(&proof, Side::Caller, &somebody), "for another caller's key");
        let nobody = Session { caller: None, ..here.clone() };
        assert!(!code.is_proved_by(&proof, Side::Caller, &nobody), "for a caller without a key");
        let elsewhere = Session { called: KeyHash(Digest([9; 32])), ..here };
        assert!(!code.is_proved_by(&proof, Side::Caller, &elsewhere), "for another node");
    }

    #[test]
    fn fuzz_join_codes_read_as_what_they_are_shown_as() {
        let codes = [JoinCode([0; CODE_BYTES]), JoinCode([0xa5; CODE_BYTES])].map(|code| code.to_string());
        ironcache_fuzz::Campaign::of("join codes").from(codes).words(["-", " ", "O", "l"]).run(|bytes| {
            let code: JoinCode = String::from_utf8_lossy(bytes).parse()?;
            assert_eq!(code.to_string().parse::<JoinCode>()?.0, code.0);
            Ok::<_, ParseJoinCodeError>(())
        });
    }
}
