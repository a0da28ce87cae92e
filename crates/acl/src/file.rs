//! Users as lines, `user NAME RULE …`: an ACL file as Redis reads and writes it.
//!
//! *Invariant:* a file with one error in it is no file: nothing of it counts.

use crate::rule::{self, Why, check_name};
use crate::user::User;
use std::collections::BTreeMap;

/// By name.
pub type Users = BTreeMap<Vec<u8>, User>;

/// All that is wrong with a file, for one reply. Source of the words: redis 7.0.15.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "ERR {errors}WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
)]
pub struct BadFile {
    errors: String,
}

/// Reads the bytes of the file that is called `path`.
///
/// # Errors
/// Every line that is wrong.
pub fn read(path: &str, bytes: &[u8]) -> Result<Users, BadFile> {
    let (mut users, mut errors) = (Users::new(), String::new());
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let place = format!("{path}:{}", at + 1);
        let words: Vec<&[u8]> = words(line).collect();
        let (name, rules) = match words.as_slice() {
            [] => continue,
            [b"user", name, rules @ ..] if check_name(name) => (name.to_vec(), rules),
            [b"user", name, ..] => {
                let name = String::from_utf8_lossy(name);
                errors += &format!("'{place}: username '{name}' contains invalid characters. ");
                continue;
            }
            _ => {
                errors += &format!("{place} should start with user keyword followed by the username. ");
                continue;
            }
        };
        if users.contains_key(&name) {
            let name = String::from_utf8_lossy(&name);
            errors += &format!("WARNING: Duplicate user '{name}' found on line {}. ", at + 1);
            continue;
        }
        let user = user_of(rules, &place, &mut errors);
        users.insert(name, user);
    }
    if errors.is_empty() { Ok(users) } else { Err(BadFile { errors }) }
}

/// Writes what [`read`] reads.
pub fn write<'a>(users: impl IntoIterator<Item = (&'a [u8], &'a User)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, user) in users {
        bytes.extend([b"user ", name, b" ", &user.text(), b"\n"].concat());
    }
    bytes
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    // As Redis has it: other blanks are taken off the ends alone.
    line.trim_ascii().split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// The user of a line. Each command that does not exist is told, and of all else the first that is wrong.
fn user_of(rules: &[&[u8]], place: &str, errors: &mut String) -> User {
    let (mut user, mut is_told) = (User::default(), false);
    let rules = match rule::merge_selectors(rules) {
        Ok(rules) => rules,
        Err(unmatched) => {
            let why = unmatched.to_string();
            *errors += &format!("{place}: {} ", why.trim_start_matches("ERR "));
            return user;
        }
    };
    for rule in rules {
        match rule::apply(&mut user, &rule) {
            Ok(()) => {}
            Err(why @ Why::Unknown) => {
                let rule = String::from_utf8_lossy(&rule);
                *errors += &format!("{place}: Error in applying operation '{rule}': {why}. ");
            }
            Err(why) => {
                if !std::mem::replace(&mut is_told, true) {
                    *errors += &format!("{place}: {why}. ");
                }
            }
        }
    }
    user
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = b"  user a on >p  ~x (+get ~y) \r\n\n\tuser default on nopass ~* &* +@all";
        let users = read("f", text).unwrap();
        let written = write(users.iter().map(|(name, user)| (&name[..], user)));
        assert_eq!(
            String::from_utf8_lossy(&written),
            "user a on #148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940 ~x resetchannels -@all \
             (~y resetchannels -@all +get)\nuser default on nopass ~* &* +@all\n"
        );
        assert_eq!(read("f", &written).unwrap(), users);
        assert_eq!(read("f", b"").unwrap(), Users::new());
    }

    fn refused(text: &str) -> String {
        let all = read("/f", text.as_bytes()).unwrap_err().to_string();
        let rest = all.strip_suffix(
            "WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
        );
        rest.unwrap().to_owned()
    }

    #[test]
    fn every_line_that_is_wrong_is_told_as_redis_does() {
        assert_eq!(
            refused("foo a on\nuser b on +foo\n"),
            "ERR /f:1 should start with user keyword followed by the username. /f:2: Error in applying operation '+foo': \
             Unknown command or category name in ACL. "
        );
        assert_eq!(refused("user a\ton nopass"), "ERR '/f:1: username 'a\ton' contains invalid characters. ");
        assert_eq!(
            refused("user a on zzz +nosuch ~* ~a"),
            "ERR /f:1: Syntax error. /f:1: Error in applying operation '+nosuch': Unknown command or category name in ACL. "
        );
        assert_eq!(
            refused("user a on <p\n# nothing"),
            "ERR /f:1: The password you are trying to remove from the user does not exist. /f:2 should start with user \
             keyword followed by the username. "
        );
        assert_eq!(refused("user"), "ERR /f:1 should start with user keyword followed by the username. ");
        assert_eq!(refused("user a on\nuser a off"), "ERR WARNING: Duplicate user 'a' found on line 2. ");
        assert_eq!(
            refused("user a on +get -foo +bar\nuser c zz yy"),
            "ERR /f:1: Error in applying operation '-foo': Unknown command or category name in ACL. /f:1: Error in applying \
             operation '+bar': Unknown command or category name in ACL. /f:2: Syntax error. "
        );
        assert_eq!(
            refused("user a on (+get"),
            "ERR /f:1: Unmatched parenthesis in acl selector starting at '(+get'. "
        );
    }
}
