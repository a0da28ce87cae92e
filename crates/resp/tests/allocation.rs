//! What the parsers allocate, counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ironcache_resp::{CommandParser, Parsed, encode_command, parse_value};

struct Counting;

thread_local! {
    /// Bytes asked for by this thread.
    static ALLOCATED_BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a plain thread-local integer.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED_BYTES.set(ALLOCATED_BYTES.get() + layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `System` through `alloc` above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocated_bytes(work: impl FnOnce()) -> usize {
    let before = ALLOCATED_BYTES.get();
    work();
    ALLOCATED_BYTES.get() - before
}

#[test]
fn a_command_allocates_nothing_once_the_parser_is_warm() {
    let mut pipeline = Vec::new();
    for _ in 0..100 {
        encode_command(&["SET", "key", "value", "EX", "10"], &mut pipeline);
        pipeline.extend_from_slice(b"ping \"quoted\"\r\n");
    }
    let mut parser = CommandParser::default();
    let run = |parser: &mut CommandParser| {
        let mut start = 0;
        while let Parsed::Complete { consumed } = parser.parse(&pipeline[start..]).expect("well formed") {
            assert!(!parser.args(&pipeline[start..]).is_empty());
            start += consumed;
        }
        assert_eq!(start, pipeline.len());
    };
    run(&mut parser);
    assert_eq!(allocated_bytes(|| run(&mut parser)), 0);
}

#[test]
fn memory_follows_what_arrived_and_not_what_a_header_claims() {
    let allocated = allocated_bytes(|| {
        let mut parser = CommandParser::default();
        assert!(matches!(
            parser.parse(b"*1048576\r\n$1\r\na\r\n$536870912\r\nb"),
            Ok(Parsed::Incomplete { .. })
        ));
        assert_eq!(parse_value(b"*2147483648\r\n%2147483648\r\n$536870912\r\nb"), Ok(None));
    });
    assert!(allocated < 4096, "{allocated} bytes for three dozen received");
}
