//! The processor time of processes, out of `/proc`.

use std::fs;
use std::time::Duration;

/// What `/proc/PID/stat` says.
struct Stat {
    parent: u32,
    own: Duration,
    /// Of its children that have ended, and were waited for.
    waited: Duration,
}

impl Stat {
    fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // Behind the program's name, which may hold anything. The state is the first of
        // these fields; times are in hundredths of a second.
        let fields: Vec<_> = stat.rsplit(')').next()?.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let time = |at: usize| Some(Duration::from_millis(10 * (number(at)? + number(at + 1)?)));
        Some(Self { parent: u32::try_from(number(1)?).ok()?, own: time(11)?, waited: time(13)? })
    }
}

/// What all processes of the machine have taken so far, and what a virtual machine's host
/// has kept from them.
pub(crate) fn of_all() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let times: Vec<u64> = line.split_whitespace().skip(1).flat_map(str::parse).collect();
    // user, nice, system, idle, waiting, irq, softirq, steal
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|&at| times.get(at)).sum::<u64>();
    Duration::from_millis(10 * busy)
}

/// What this process itself has taken so far, all threads together.
pub(crate) fn own() -> Duration {
    Stat::of(std::process::id()).map_or(Duration::ZERO, |stat| stat.own)
}

/// What programs that this process has run to their end have taken.
pub(crate) fn of_programs() -> Duration {
    Stat::of(std::process::id()).map_or(Duration::ZERO, |stat| stat.waited)
}

/// What a process and its children have taken so far, those that have ended included.
pub(crate) fn of_tree(process: u32) -> Duration {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = ids.filter_map(Stat::of).filter(|stat| stat.parent == process);
    let tree = Stat::of(process).into_iter().chain(children);
    tree.map(|stat| stat.own + stat.waited).sum()
}
