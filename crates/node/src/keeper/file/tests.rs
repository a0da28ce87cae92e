use super::*;
use ironcache_replication::{Effects, LINK_VERSIONS, Message, Scope, decode, encode};
use ironcache_types::{Incarnation, Level, Member, NodeId};
use std::fs;
use tempfile::TempDir;

const CLUSTER: ClusterId = ClusterId(77);
const SOURCE: Source = Source { epoch: Epoch(7), incarnation: Incarnation(1) };

fn lineage() -> Lineage {
    Lineage::new(Epoch(7), Offset(100))
}

fn head() -> TailHead {
    TailHead {
        cluster: CLUSTER,
        shard: ShardId(2),
        source: SOURCE,
        keeper: Member { node: NodeId(3), incarnation: Incarnation(5) },
        isr_epoch: Epoch(9),
        from: Offset(120),
        lineage: lineage(),
    }
}

fn command(start: u64) -> Vec<u8> {
    let (level, epoch, scope) = (Level(1), Epoch(7), Scope::All);
    let effects = Effects { level, epoch, start: Offset(start), scope, bytes: b"SET k v" };
    let mut out = Vec::new();
    encode(&Message::Effects(effects), LINK_VERSIONS.max, &mut out).unwrap();
    out
}

fn append(file: &mut TailFile, frame: &[u8]) -> Result<(), CannotKeep> {
    file.append(|tail| {
        let (message, _) = decode(frame, LINK_VERSIONS.max).unwrap().unwrap();
        tail.admit(&message).expect("it follows");
        Ok(frame.to_vec())
    })
}

/// Three commands from 120 on, each of 36 bytes.
fn written(dir: &TempDir) -> TailFile {
    let mut file = TailFile::create(dir.path(), head(), 0).unwrap();
    for start in [120, 156, 192] {
        append(&mut file, &command(start)).unwrap();
    }
    assert_eq!(file.tail().whole(), Offset(228));
    file
}

fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("2-7")
}

#[test]
fn what_was_appended_is_there_for_the_next_life() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(&dir);
    assert_eq!(file.read(Offset(156), 1000).unwrap(), [command(156), command(192)].concat());
    assert_eq!(file.read(Offset(156), 5).unwrap(), command(156)[..5]);
    assert_eq!(file.read(Offset(500), 5).unwrap(), b"", "of a node that holds more");
    drop(file);
    let again = TailFile::open(&path(&dir), CLUSTER, 0).unwrap();
    assert_eq!(again.head(), &head());
    assert_eq!((again.tail().from(), again.tail().whole()), (Offset(120), Offset(228)));
}

#[test]
fn a_cut_end_is_cut_to_the_last_whole_command_and_written_on_from_there() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(&dir));
    let file = File::options().write(true).open(path(&dir)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let mut again = TailFile::open(&path(&dir), CLUSTER, 0).unwrap();
    assert_eq!(again.tail().whole(), Offset(192));
    assert!(again.go_on(SOURCE, &lineage(), Offset(192)).unwrap());
    append(&mut again, &command(192)).unwrap();
    drop(again);
    assert_eq!(TailFile::open(&path(&dir), CLUSTER, 0).unwrap().tail().whole(), Offset(228));
}

#[test]
fn a_flipped_bit_is_never_taken_for_content() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(&dir));
    let good = fs::read(path(&dir)).unwrap();
    let head_bytes = good.len() - 3 * 36;
    for byte in 0..good.len() {
        let mut bad = good.clone();
        bad[byte] ^= 0x10;
        fs::write(path(&dir), &bad).unwrap();
        match TailFile::open(&path(&dir), CLUSTER, 0) {
            Err(_) => assert_eq!(fs::read(path(&dir)).unwrap(), bad, "byte {byte}: it stays as it is"),
            // A length that grew: what follows looks cut off.
            Ok(file) => {
                assert!(file.place(file.tail().whole()) <= byte as u64, "byte {byte} of {head_bytes}")
            }
        }
    }
}

#[test]
fn a_file_of_another_cluster_name_or_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(&dir));
    let other = TailFile::open(&path(&dir), ClusterId(78), 0).unwrap_err();
    assert!(matches!(other, CannotRead::OtherCluster { .. }), "{other}");
    let renamed = dir.path().join("2-8");
    fs::copy(path(&dir), &renamed).unwrap();
    let named = TailFile::open(&renamed, CLUSTER, 0).unwrap_err();
    assert!(matches!(named, CannotRead::OtherName { epoch: Epoch(7), .. }), "{named}");
    let mut later = fs::read(path(&dir)).unwrap();
    later[8] = 9;
    let crc_at = 12 + usize::from(u16::from_le_bytes([later[10], later[11]]));
    let crc = crc32fast::hash(&later[..crc_at]);
    later[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    fs::write(path(&dir), &later).unwrap();
    let version = TailFile::open(&path(&dir), CLUSTER, 0).unwrap_err();
    assert!(matches!(version, CannotRead::Head(TailHeadError::Version { found: 9 })), "{version}");
    assert_eq!(fs::read(path(&dir)).unwrap(), later);
}

#[test]
fn the_reserve_of_the_disk_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let error = TailFile::create(dir.path(), head(), u64::MAX).unwrap_err();
    assert!(matches!(error, CannotKeep::Reserve { .. }), "{error}");
    assert!(!path(&dir).exists());
    let mut file = written(&dir);
    file.reserve_bytes = u64::MAX;
    file.unlooked_bytes = LOOK_EVERY_BYTES;
    let error = append(&mut file, &command(228)).unwrap_err();
    assert!(matches!(error, CannotKeep::Reserve { .. }), "{error}");
    assert_eq!(file.tail().whole(), Offset(228), "nothing of it is acknowledged");
    file.reserve_bytes = 0;
    append(&mut file, &command(228)).unwrap();
    drop(file);
    assert_eq!(TailFile::open(&path(&dir), CLUSTER, 0).unwrap().tail().whole(), Offset(264));
}

#[test]
fn a_write_that_fails_leaves_the_tail_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = written(&dir);
    file.file = File::open(path(&dir)).unwrap();
    let error = append(&mut file, &command(228)).unwrap_err();
    assert!(matches!(error, CannotKeep::Disk(_)), "{error}");
    assert_eq!((file.tail().whole(), file.tail().end()), (Offset(228), Offset(228)));
}

#[test]
fn the_table_of_levels_says_which_version_is_written() {
    use ironcache_formats::levels::{Format, RANGE, version_at, versions_read};
    let version = ironcache_replication::TAIL_VERSION;
    assert_eq!(version_at(Format::KeeperFile, RANGE.max), Some(version));
    assert_eq!(versions_read(Format::KeeperFile), Some((version, version)));
}

/// The checksum of the head, and of every frame behind it, as a primary would have sent them.
fn reseal(bytes: &mut [u8]) {
    let Some(body) = bytes.get(10..12).map(|len| usize::from(u16::from_le_bytes([len[0], len[1]]))) else {
        return;
    };
    let crc_at = 12 + body;
    let mut rest = crc_at + 4;
    if bytes.len() < rest {
        return;
    }
    let crc = crc32fast::hash(&bytes[..crc_at]);
    bytes[crc_at..rest].copy_from_slice(&crc.to_le_bytes());
    while let Some(prefix) = bytes.get(rest..rest + 8) {
        let claimed = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
        let end = rest.saturating_add(8).saturating_add(claimed).min(bytes.len());
        let crc = crc32fast::hash(&bytes[rest + 8..end]);
        bytes[rest + 4..rest + 8].copy_from_slice(&crc.to_le_bytes());
        rest = end;
    }
}

#[test]
fn fuzz_a_kept_tail_is_read_back_and_only_its_end_is_cut_off_or_it_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(&dir));
    let good = fs::read(path(&dir)).unwrap();
    let mut resealed = good.clone();
    reseal(&mut resealed);
    assert_eq!(resealed, good);
    let folder = ironcache_fuzz::Folder::new();
    let kept = folder.path().join("2-7");
    let campaign = ironcache_fuzz::Campaign::of("kept tails").from([good]).resealed(reseal);
    campaign.keeps(4 * READ_BYTES).run(|bytes| {
        let opened = ironcache_fuzz::refused_stays(&kept, bytes, |path| TailFile::open(path, CLUSTER, 0));
        let file = opened.map_err(|error| format!("{:?}", std::mem::discriminant(&error)))?;
        let (head, whole) = (file.head().clone(), file.tail().whole());
        drop(file);
        let left = fs::read(&kept).unwrap();
        assert!(bytes.starts_with(&left), "what is left of it was in it");
        let again = ironcache_fuzz::refused_stays(&kept, &left, |path| TailFile::open(path, CLUSTER, 0));
        let again = again.expect("what was read back can be read back");
        assert_eq!((again.head(), again.tail().whole()), (&head, whole));
        assert_eq!(fs::read(&kept).unwrap(), left, "nothing more is cut off");
        Ok::<_, String>(whole > head.from)
    });
}
