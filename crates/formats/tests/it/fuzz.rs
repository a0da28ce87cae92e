//! Fuzzing of entries, states and snapshots; see crate `ironcache-fuzz`.

use ironcache_control::Command;
use ironcache_formats::entry::{self, EntryBytes, HEADER_BYTES};
use ironcache_formats::levels::RANGE;
use ironcache_formats::{snapshot, state, wire};
use ironcache_fuzz::{Campaign, of_golden, of_golden_lines};
use std::path::Path;

/// The files of a folder of goldens.
fn goldens(folder: &str) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let files =
        std::fs::read_dir(dir).expect("the folder is there").map(|file| file.expect("it is listed").path());
    let mut files: Vec<_> = files.filter(|file| file.is_file()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).expect("it is text")).collect()
}

/// `len`, and the checksum behind it, as a writer would have them; what is covered begins at `from`.
fn reseal(bytes: &mut [u8], from: usize, len_at: usize) {
    let header_bytes = len_at + 8;
    let Some(len) = bytes.len().checked_sub(header_bytes).and_then(|len| u32::try_from(len).ok()) else {
        return;
    };
    bytes[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[from..len_at + 4]);
    crc.update(&bytes[header_bytes..]);
    bytes[len_at + 4..header_bytes].copy_from_slice(&crc.finalize().to_le_bytes());
}

fn entries() -> Vec<Vec<u8>> {
    // An example a line or several lines an example: whole ones are those that open.
    let files = goldens("entry");
    let examples =
        files.iter().flat_map(|file| file.split("\n\n").map(of_golden).chain(of_golden_lines(file)));
    let entries: Vec<_> = examples.filter(|bytes| EntryBytes::check(bytes).is_ok()).collect();
    assert!(entries.len() >= files.len(), "{} entries of {} kinds", entries.len(), files.len());
    entries
}

#[test]
fn fuzz_entries_are_sealed_as_they_were_opened() {
    let resealed = |bytes: &mut [u8]| reseal(bytes, 0, HEADER_BYTES - 8);
    Campaign::of("entries of the log").from(entries()).resealed(resealed).run(|bytes| {
        let entry = EntryBytes::check(bytes)
            .map_err(|error| std::mem::discriminant(&error))
            .map_err(|e| format!("{e:?}"))?;
        let (request, command) = entry::open(&entry, RANGE.max).map_err(|error| format!("{error:?}"))?;
        let again: Result<(_, Command), _> = entry::open(
            &entry::seal(&command, request, entry.header().level).expect("what was opened can be sealed"),
            RANGE.max,
        );
        assert_eq!(again.expect("what was sealed can be opened"), (request, command.clone()));
        Ok::<_, String>(std::mem::discriminant(&command))
    });
}

#[test]
fn fuzz_states() {
    let states = goldens("state")
        .into_iter()
        .map(|text| of_golden(text.split_once("\n\n").map_or("", |(_, hex)| hex)));
    Campaign::of("states of the cluster").from(states).run(|bytes| {
        let (read, answers) = state::read(bytes, RANGE.max).map_err(|error| format!("{error:?}"))?;
        let written = state::write(&read, answers.iter(), RANGE.max);
        if let Ok(written) = written {
            let (again, _) = state::read(&written, RANGE.max).expect("what is written can be read");
            assert!(again == read);
        }
        Ok::<_, String>(())
    });
}

#[test]
fn fuzz_snapshots() {
    let resealed = |bytes: &mut [u8]| reseal(bytes, wire::MAGIC.len(), wire::HEADER_BYTES - 8);
    let snapshots = goldens("snapshot").iter().map(|text| of_golden(text)).collect::<Vec<_>>();
    Campaign::of("snapshots").from(snapshots).resealed(resealed).run(|bytes| {
        let level = wire::level_of(bytes)
            .map_err(|error| std::mem::discriminant(&error))
            .map_err(|e| format!("{e:?}"));
        (level.map(|_| ()), snapshot::open(bytes, RANGE).map(drop).map_err(|error| format!("{error:?}")))
    });
}

/// As the encoding writes a number above 2^32.
fn claimed(number: u64) -> Vec<u8> {
    [vec![253], number.to_le_bytes().to_vec()].concat()
}

#[test]
fn fuzz_bodies_take_memory_for_what_has_come_and_not_for_what_they_claim() {
    type Body = (Vec<Vec<Vec<u64>>>, Vec<u8>, String);
    let body: Body = (vec![vec![vec![1, 2], vec![]], vec![]], vec![7; 300], "seven".repeat(100));
    let empty = wire::encode(&Body::default()).expect("it is small");
    let claims = [
        // Lists in lists, each of as many elements as a number tells.
        vec![claimed(1 << 40); 3].concat(),
        // Bytes, one by one; and a text, in one piece.
        [&empty[..1], &claimed(12 << 20), &[0; 8]].concat(),
        [&empty[..2], &claimed(12 << 20), b"seven"].concat(),
    ];
    let valid = wire::encode(&body).expect("it is small");
    Campaign::of("claims of bodies")
        .from([valid])
        .from(claims)
        .run(|bytes| wire::decode::<Body>(bytes).map(drop).map_err(|error| format!("{error:?}")));
}
