//! A release that fails, in the way that its version's pre-release text names: `0.9.0-exits` exits at once,
//! `-hangs` says that it is ready and never again anything, `-neverready` only beats its heart.

use ironcache_spine::{Inherited, LAUNCHER_PROTOCOL, PREFLIGHT_VERB, ToLauncher};
use ironcache_types::{LEVELS, Stamp};
use std::process::exit;
use std::time::Duration;

#[used]
#[unsafe(link_section = ".ironcache.rel")]
static STAMP: Stamp = Stamp::of_build("0.9.0-exits", LEVELS, LAUNCHER_PROTOCOL, None);

fn main() {
    // It would start, as far as anybody can tell before: what is wrong with it shows only when it runs.
    if std::env::args().nth(1).as_deref() == Some(PREFLIGHT_VERB) {
        println!("{{\"problems\":[]}}");
        return;
    }
    // SAFETY: reads a static of ours; volatile, for the tests rewrite it in the file.
    let stamp = unsafe { std::ptr::read_volatile(&raw const STAMP) };
    let version = stamp.manifest().expect("the tests stamp a version").version;
    if version.pre.as_str() == "exits" {
        exit(3);
    }
    let inherited = Inherited::from_env().expect("the launcher answers").expect("a launcher started this");
    let (sender, _receiver) = inherited.link.split();
    let mut ticks = 0;
    match version.pre.as_str() {
        "hangs" => {
            sender.send(&ToLauncher::Ready {}).expect("the launcher listens");
            wait_for_ever();
        }
        "neverready" => loop {
            ticks += 1;
            if sender.send(&ToLauncher::Heartbeat { ticks, work_bytes: 0 }).is_err() {
                exit(0);
            }
            std::thread::sleep(Duration::from_millis(100));
        },
        other => panic!("no behaviour is called {other:?}"),
    }
}

fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}
