//! The end of a life: what the last copy does when the disk does not take it.

use super::*;
use crate::data::leaving::{Drained, Keep, drain};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::task::LocalSet;

/// Nobody is connected here: there is nothing to wait for.
const NO_CLIENTS: Duration = Duration::from_secs(60);

/// What takes the place of a full disk, for root as well: no file can be made where this directory is.
struct FullDisk<'a>(&'a Path);

impl<'a> FullDisk<'a> {
    fn of(dir: &'a Path) -> Self {
        fs::create_dir(dir.join("checkpoint.tmp")).unwrap();
        FullDisk(dir)
    }

    fn has_room_again(self) {
        fs::remove_dir(self.0.join("checkpoint.tmp")).unwrap();
    }
}

/// A's node, which serves and accepts, with one key.
fn serving(world: &World, dir: &Path) -> Rc<DataNode> {
    let (mut plane, _proposals) = plane(A, world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET key value");
    plane.clients = Default::default();
    let node = node_in(dir.to_owned(), plane);
    crate::data::admission::start_accepting(&node);
    node
}

fn set(node: &DataNode, key: &str) -> (Option<Stop>, String) {
    let mut plane = node.plane.borrow_mut();
    let mut client = client(&mut plane);
    let done = run(&mut plane, &mut client, &format!("SET {key} value"));
    plane.clients = Default::default();
    done
}

#[tokio::test]
async fn the_only_copy_serves_on_until_there_is_room_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::alone(AckMode::Primary);
    LocalSet::new()
        .run_until(async {
            let node = serving(&world, dir.path());
            let full = FullDisk::of(dir.path());
            for n in 0..2 {
                let Drained::Stays { why } = drain(&node, NO_CLIENTS, Keep::OrStay).await else {
                    panic!("its dataset is nowhere else")
                };
                assert!(why.starts_with("the checkpoint needs ") && why.contains(" MB"), "{why}");
                assert_eq!(set(&node, &format!("later-{n}")), (None, "+OK\r\n".to_owned()));
                assert!(node.accepting.borrow().iter().any(|task| !task.is_finished()));
            }
            assert!(!dir.path().join("checkpoint").exists());
            full.has_room_again();
            assert_eq!(drain(&node, NO_CLIENTS, Keep::OrStay).await, Drained::Settled);
            let checkpoint = fs::read(dir.path().join("checkpoint")).unwrap();
            let last = b"later-1";
            assert!(checkpoint.windows(last.len()).any(|bytes| bytes == last), "what was served on is in it");
            assert!(!dir.path().join("checkpoint.tmp").exists());
        })
        .await;
}

#[tokio::test]
async fn a_checkpoint_that_fails_after_all_gives_nothing_up_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::alone(AckMode::Primary);
    LocalSet::new()
        .run_until(async {
            let node = serving(&world, dir.path());
            // There is room, and the last step fails.
            fs::create_dir_all(dir.path().join("checkpoint/in-the-way")).unwrap();
            assert!(matches!(drain(&node, NO_CLIENTS, Keep::OrStay).await, Drained::Stays { .. }));
            assert_eq!(set(&node, "later"), (None, "+OK\r\n".to_owned()));
            assert!(!node.is_draining() && !node.accepting.borrow().is_empty());
            assert!(!dir.path().join("checkpoint.tmp").exists());
            fs::remove_dir_all(dir.path().join("checkpoint")).unwrap();
            assert_eq!(drain(&node, NO_CLIENTS, Keep::OrStay).await, Drained::Settled);
        })
        .await;
}

#[tokio::test]
async fn told_to_end_all_the_same_the_only_copy_says_that_it_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::alone(AckMode::Primary);
    LocalSet::new()
        .run_until(async {
            let node = serving(&world, dir.path());
            let _full = FullDisk::of(dir.path());
            assert!(matches!(drain(&node, NO_CLIENTS, Keep::IfPossible).await, Drained::Lost { .. }));
        })
        .await;
}

#[tokio::test]
async fn what_another_node_holds_keeps_nobody_unless_the_log_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::pair(AckMode::InSync);
    LocalSet::new()
        .run_until(async {
            let node = serving(&world, dir.path());
            let _full = FullDisk::of(dir.path());
            let without_log = drain(&node, NO_CLIENTS, Keep::OrStayWithoutLog).await;
            assert!(matches!(without_log, Drained::Stays { .. }), "{without_log:?}");
            assert_eq!(drain(&node, NO_CLIENTS, Keep::OrStay).await, Drained::Settled);
        })
        .await;
}
