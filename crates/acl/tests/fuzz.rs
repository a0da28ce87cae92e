//! Rules and files from anybody: neither panics, and what is taken is what its text says.

use ironcache_acl::{User, file};
use ironcache_fuzz::Campaign;

const WORDS: [&str; 24] = [
    "on",
    "off",
    "nopass",
    ">p",
    "<p",
    "#",
    "~",
    "%R",
    "%RW~",
    "&",
    "+",
    "-",
    "@all",
    "@read",
    "get",
    "config",
    "|",
    "(",
    ")",
    "reset",
    "clearselectors",
    " ",
    "user ",
    "\n",
];

#[test]
fn fuzz_a_user_that_rules_made_is_read_from_its_text() {
    let valid =
        ["on >p ~a %R~b &c +@read -get +config|get (+set ~y)", "reset +select|0 (%W~x +@all -@dangerous)"];
    Campaign::of("rules of a user").from(valid.map(str::to_owned)).words(WORDS).run(|bytes| {
        let rules: Vec<&[u8]> = bytes.split(|byte| *byte == b' ').collect();
        match User::default().with(&rules) {
            Ok(user) => {
                assert_eq!(User::read(&user.text()).as_ref(), Ok(&user), "{}", bytes.escape_ascii());
                Ok(user.may_everything())
            }
            Err(error) => Err(error.to_string().len() > 60),
        }
    });
}

#[test]
fn fuzz_a_file_of_users_is_read_as_it_was_written() {
    let valid = ["user a on >p ~x +get\nuser b off (+set ~y)\n", "\nuser default on nopass ~* &* +@all"];
    Campaign::of("an ACL file").from(valid.map(str::to_owned)).words(WORDS).run(|bytes| {
        match file::read("f", bytes) {
            Ok(users) => {
                let written = file::write(users.iter().map(|(name, user)| (&name[..], user)));
                assert_eq!(file::read("f", &written).as_ref(), Ok(&users), "{}", bytes.escape_ascii());
                Ok(users.len() > 1)
            }
            Err(error) => Err(error.to_string().len() > 200),
        }
    });
}
