//! The command of the feature `next`.

use crate::db::Db;
use ironcache_command::{Effects, lookup};
use ironcache_types::{Level, NEXT};

#[test]
fn it_is_an_error_below_its_level_which_says_so() {
    let spec = lookup(b"ICNEXT.TOUCH").unwrap();
    let refused = spec.check_level(Level(NEXT.0 - 1)).unwrap_err().to_string();
    assert!(refused.starts_with(&format!("NOTYET 'icnext.touch' exists since level {NEXT}")), "{refused}");
    assert!(spec.check_level(NEXT).is_ok());
    assert!(lookup(b"GET").unwrap().check_level(Level::FIRST).is_ok());
}

#[test]
fn it_counts() {
    let mut db = Db::new();
    db.effects = Effects::at(NEXT);
    assert_eq!(db.run("icnext.touch k"), ":1");
    assert_eq!(db.run("icnext.touch k"), ":2");
    assert_eq!(db.run("get k"), "$1 2");
    db.run("set k text");
    assert!(db.run("icnext.touch k").starts_with("-ERR value is not an integer"));
}
