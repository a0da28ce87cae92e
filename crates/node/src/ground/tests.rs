//! Each thing that can be wrong is found by its number, and a machine without it finds nothing.

use super::measure::{existing, forced, mounts, of_limit, of_meminfo};
use super::*;
use std::path::Path;

const WANTS: Wants = Wants { clients: 10_000, buffers_bytes: 1 << 30 };

/// A machine that lacks nothing.
fn good() -> Ground {
    Ground {
        descriptors: Descriptors { soft: Some(1_024), hard: Some(1 << 20), open: 9 },
        memory: Memory { machine_bytes: Some(16 << 30), group_bytes: None },
        disk: Some(Disk { size_bytes: 100 << 30, free_bytes: 50 << 30, files_free: Some(1 << 20) }),
        kernel: Kernel {
            overcommit: Some(0),
            huge_pages_forced: false,
            somaxconn: Some(4_096),
            syn_backlog: Some(128),
            syncookies: Some(1),
        },
        clock: Clock { now_s: 1_700_000_000, written_s: Some(1_700_000_030), is_kept: Some(true) },
    }
}

#[track_caller]
fn found(change: impl FnOnce(&mut Ground)) -> Finding {
    let mut ground = good();
    change(&mut ground);
    let mut found = ground.findings(WANTS);
    assert_eq!(found.len(), 1, "{found:?}");
    let finding = found.remove(0);
    assert!(Finding::CODES.contains(&finding.code()));
    assert!(!finding.to_string().is_empty() && !finding.advice().is_empty());
    finding
}

#[test]
fn a_good_machine_lacks_nothing_and_what_is_not_said_is_not_found() {
    assert_eq!(good().findings(WANTS), []);
    assert_eq!(Ground::default().findings(WANTS), []);
}

#[test]
fn the_hard_limit_of_descriptors_counts_and_the_soft_one_does_not() {
    let few = found(|ground| ground.descriptors.hard = Some(4_096));
    assert_eq!(few, Finding::FewDescriptors { limit: 4_096, reserved: 224, left: 3_872, clients: 10_000 });
    assert!(few.advice().contains("10224"), "{}", few.advice());
    let none = found(|ground| ground.descriptors.hard = Some(200));
    assert_eq!((none.code(), none.weight()), ("no_descriptors", Weight::Error));
    let mut exact = good();
    exact.descriptors.hard = Some(10_224);
    assert_eq!(exact.findings(WANTS), []);
}

#[test]
fn buffers_that_would_take_half_of_a_containers_memory_are_told() {
    let small = found(|ground| ground.memory.group_bytes = Some(1 << 30));
    assert_eq!(small, Finding::SmallMemory { buffers_bytes: 1 << 30, has_bytes: 1 << 30 });
}

#[test]
fn a_full_disk_is_an_error_and_one_that_takes_no_release_a_warning() {
    let disk = |free_bytes, files_free| {
        found(move |ground| ground.disk = Some(Disk { size_bytes: 100 << 30, free_bytes, files_free }))
    };
    assert_eq!((disk(1_000, None).code(), disk(1_000, None).weight()), ("disk_full", Weight::Error));
    assert_eq!(disk(255 << 20, None).code(), "disk_low");
    assert_eq!(disk(50 << 30, Some(3)), Finding::FewFiles { files: 3 });
    let small = Disk { size_bytes: 160 << 20, free_bytes: 11 << 20, files_free: None };
    let mut ground = good();
    ground.disk = Some(small);
    assert_eq!(ground.findings(WANTS), [], "of a small disk a sixteenth is kept");
}

#[test]
fn the_kernels_settings_are_found_where_they_cost_something() {
    assert_eq!(found(|ground| ground.kernel.overcommit = Some(2)), Finding::StrictOvercommit);
    assert_eq!(found(|ground| ground.kernel.huge_pages_forced = true), Finding::HugePages);
    let short = found(|ground| ground.kernel.somaxconn = Some(128));
    assert_eq!(short, Finding::ShortQueue { somaxconn: 128, asked: 4_096 });
    let half_open = found(|ground| ground.kernel.syncookies = Some(0));
    assert_eq!(half_open, Finding::ShortSynQueue { syn_backlog: 128 });
}

#[test]
fn a_clock_that_went_back_and_one_that_nobody_keeps_are_told() {
    let back = found(|ground| ground.clock.now_s -= 3_600);
    assert_eq!(back, Finding::ClockWentBack { back_s: 3_630 });
    assert_eq!(found(|ground| ground.clock.is_kept = Some(false)), Finding::ClockNotKept);
}

#[test]
fn errors_stand_before_warnings() {
    let mut ground = good();
    ground.clock.is_kept = Some(false);
    ground.descriptors.hard = Some(100);
    let codes: Vec<_> = ground.findings(WANTS).iter().map(Finding::code).collect();
    assert_eq!(codes, ["no_descriptors", "clock_not_kept"]);
}

#[test]
fn what_the_kernel_writes_is_read() {
    assert_eq!(of_meminfo("MemTotal:       8000 kB\nMemFree: 1 kB", "MemTotal"), Some(8_000 << 10));
    assert_eq!(of_limit("max\n"), None);
    assert_eq!(of_limit("9223372036854771712\n"), None, "how the first version writes none");
    assert_eq!(of_limit("536870912\n"), Some(512 << 20));
    let second = mounts("0::/system.slice/ironcache.service\n");
    assert_eq!(second, [("/sys/fs/cgroup", "/system.slice/ironcache.service", "memory.max")]);
    let first = mounts("5:cpu,cpuacct:/x\n4:memory:/docker/abc\n");
    assert_eq!(first, [("/sys/fs/cgroup/memory", "/docker/abc", "memory.limit_in_bytes")]);
    assert!(forced("[always] madvise never", "THP_enabled:\t1\n"));
    assert!(!forced("[always] madvise never", "THP_enabled:\t0\n"), "it was refused");
    assert!(!forced("always [madvise] never", ""));
}

#[test]
fn this_machine_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = dir.path().join("not/yet/there");
    assert_eq!(existing(&wanted).as_deref(), Some(dir.path()));
    let Ground { descriptors, memory, disk, kernel: _, clock } = measure(&wanted);
    assert!(descriptors.open >= 3 && descriptors.hard >= descriptors.soft, "{descriptors:?}");
    assert!(memory.limit_bytes() > Some(0), "{memory:?}");
    let disk = disk.unwrap();
    assert!(disk.size_bytes >= disk.free_bytes, "{disk:?}");
    assert_eq!(clock.written_s, None);
    assert!(!Path::new(&wanted).exists(), "nothing is made");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(7_200);
    let file = std::fs::File::create(dir.path().join("state")).unwrap();
    file.set_modified(later).unwrap();
    let found = measure(dir.path()).findings(WANTS);
    assert!(found.iter().any(|finding| finding.code() == "clock_went_back"), "{found:?}");
}

#[test]
fn fuzz_whatever_the_kernel_says_is_a_number_or_nothing() {
    let said = [
        "MemTotal:       16384256 kB\nMemFree: 1 kB\n",
        "0::/system.slice/ironcache.service\n4:memory:/docker/ab\n1:name=systemd:/\n",
        "max\n",
        "9223372036854771712",
        "always [madvise] never\nTHP_enabled:\t0\n",
    ];
    let words = ["MemTotal", ":", "kB", "\n", "0::", "memory", ",", "[always]", "THP_enabled:", "../"];
    ironcache_fuzz::Campaign::of("what the kernel says").from(said).words(words).run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mounts = mounts(&text);
        assert!(mounts.iter().all(|(mount, _, _)| mount.starts_with("/sys/fs/cgroup")));
        let limit = of_limit(&text);
        assert!(limit.is_none_or(|bytes| bytes < 1 << 60));
        (of_meminfo(&text, "MemTotal").is_some(), limit.is_some(), mounts.len().min(3), forced(&text, &text))
    });
}
