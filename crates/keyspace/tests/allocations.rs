//! The books of a keyspace beside what it really asks the allocator for.

#![allow(unsafe_code)]

use ironcache_keyspace::{Content, Effect, Items, Keyspace, SetExpiry, Side, block_bytes};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// What this thread has asked for and not given back, in blocks.
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

impl Counting {
    fn add(bytes: usize) {
        // A thread that ends has none any more.
        let _ = TAKEN.try_with(|taken| taken.set(taken.get().wrapping_add(block_bytes(bytes))));
    }

    fn subtract(bytes: usize) {
        let _ = TAKEN.try_with(|taken| taken.set(taken.get().wrapping_sub(block_bytes(bytes))));
    }
}

// SAFETY: the system's allocator does the work; what is counted has no part in it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: the caller's layout is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Self::subtract(layout.size());
        // SAFETY: the block came from `alloc` above, with this layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        Self::subtract(layout.size());
        Self::add(bytes);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn taken() -> usize {
    TAKEN.with(Cell::get)
}

/// What a keyspace takes that `change` has changed.
fn taken_by(change: impl FnOnce(&mut Keyspace)) -> (Keyspace, usize) {
    let before = taken();
    let mut keyspace = Keyspace::new();
    change(&mut keyspace);
    (keyspace, taken().wrapping_sub(before))
}

/// Some of each kind of value, of many sizes, grown and shrunk.
fn churn(keyspace: &mut Keyspace, steps: u64) {
    let mut state = 7_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let text = vec![b'x'; 3000];
    for _ in 0..steps {
        let (kind, number) = (random(7), random(60));
        let key = format!("{kind}:{number}").into_bytes();
        let element = format!("element {}", random(700)).into_bytes();
        let longest = 1 << random(12);
        let value = &text[..random(longest) as usize];
        let (key, element) = (key.as_slice(), element.as_slice());
        let (one, two, field) = ([element], [value, element], [[element, value]]);
        let scored = [(random(90) as f64, element)];
        let (one, two, fields) = (Items::new(&one), Items::new(&two), Items::new(&field));
        let effect = match (kind, random(4)) {
            (_, 0) if random(12) == 0 => Effect::Delete { key },
            (0, _) => Effect::SetString { key, value, expiry: SetExpiry::Never },
            (1, _) => Effect::SetRange { key, offset: random(300), value },
            (2, 0) => Effect::HashRemove { key, fields: one },
            (2, _) => Effect::HashSet { key, fields },
            (3, 0) => Effect::ListPop { key, side: Side::Head, count: random(3) },
            (3, 1) => Effect::ListTrim { key, from: 1, len: random(90) },
            (3, _) => Effect::ListPush { key, side: Side::Tail, values: two },
            (4, 0) => Effect::SetRemove { key, members: one },
            (4, _) => Effect::SetAdd { key, members: one },
            (5, 0) => Effect::ZsetRemove { key, members: one },
            (5, _) => Effect::ZsetAdd { key, members: Items::new(&scored) },
            (_, _) => Effect::Put { key, expire_at_ms: None, content: Content::Hash(fields) },
        };
        keyspace.apply(&effect).expect("a key has one kind of value");
    }
}

#[test]
fn what_is_booked_is_what_was_allocated() {
    for steps in [0, 1, 100, 60_000] {
        let (keyspace, taken) = taken_by(|keyspace| churn(keyspace, steps));
        assert_eq!(keyspace.used_bytes(), taken, "after {steps} effects");
        assert_eq!(keyspace.used_bytes(), keyspace.recount_bytes());
    }
}

/// Deadlines are in a tree whose nodes are more or less full.
#[test]
fn deadlines_take_about_what_is_booked_for_them() {
    let fill = |keyspace: &mut Keyspace, at: fn(u64) -> u64| {
        for i in 0..20_000_u64 {
            let key = i.to_be_bytes();
            let expiry = SetExpiry::At(1_700_000_000_000 + at(i));
            keyspace.apply(&Effect::SetString { key: &key, value: b"v", expiry }).expect("it fits anywhere");
        }
    };
    let orders: [fn(u64) -> u64; 2] = [|i| i, |i| i.wrapping_mul(2_654_435_761) % 1_000_003];
    for at in orders {
        let (keyspace, taken) = taken_by(|keyspace| fill(keyspace, at));
        let off = keyspace.used_bytes().abs_diff(taken) as f64 / keyspace.expiring() as f64;
        assert!(off < 9.0, "{off} bytes a key beside the truth");
    }
}
