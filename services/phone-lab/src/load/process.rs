//! What processes use, from `/proc` (proc(5)).

use std::{fs, path::Path, time::Duration};

use anyhow::Context;
use serde::Serialize;

/// A second of CPU time has 100 ticks wherever Linux reports it to programs.
const TICKS_PER_SECOND: u64 = 100;
/// Bytes of its name that a process has; the rest is cut off.
const LONGEST_NAME: usize = 15;

/// A process under watch.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pid: u32,
    name: String,
    cpu_before: Duration,
    cpu: Duration,
    rss_before: u64,
    rss_peak: u64,
}

/// What a process used because of the calls.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessReport {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// CPU time it used while the calls lasted, for each second of each call.
    pub cpu_ms_per_call_second: f64,
    /// CPU time it used, as a number of cores.
    pub cores: f64,
    /// Resident memory before the first call.
    pub rss_before_kb: u64,
    /// The most resident memory seen, looked at once a second.
    pub rss_peak_kb: u64,
    /// What that is more, for each call.
    pub rss_kb_per_call: f64,
}

impl Watched {
    fn new(pid: u32) -> anyhow::Result<Self> {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).with_context(|| format!("no process {pid}"))?;
        let (cpu, rss) = usage(&pid.to_string()).with_context(|| format!("cannot see what process {pid} uses"))?;
        let name = name.trim().to_owned();
        Ok(Self { pid, name, cpu_before: cpu, cpu, rss_before: rss, rss_peak: rss })
    }

    /// Looks again. Of a process that is gone the last look stands.
    pub(super) fn look(&mut self) {
        if let Some((cpu, rss)) = usage(&self.pid.to_string()) {
            self.cpu = cpu;
            self.rss_peak = self.rss_peak.max(rss);
        }
    }

    pub(super) fn report(&self, calls: usize, call_seconds: f64, lasted: Duration) -> ProcessReport {
        // Whoever has the id of a process that is gone may have used less.
        let cpu = self.cpu.saturating_sub(self.cpu_before).as_secs_f64();
        ProcessReport {
            pid: self.pid,
            name: self.name.clone(),
            cpu_ms_per_call_second: ratio(cpu * 1000.0, call_seconds),
            cores: ratio(cpu, lasted.as_secs_f64()),
            rss_before_kb: self.rss_before,
            rss_peak_kb: self.rss_peak,
            rss_kb_per_call: ratio((self.rss_peak - self.rss_before) as f64, calls as f64),
        }
    }
}

/// The processes that are meant: ids, or names, which stand for all processes of that name.
pub(super) fn find(wanted: &[String]) -> anyhow::Result<Vec<Watched>> {
    let mut found = Vec::new();
    for wanted in wanted {
        let pids = match wanted.parse() {
            Ok(pid) => vec![pid],
            Err(_) => named(wanted),
        };
        anyhow::ensure!(!pids.is_empty(), "--pid: no process is called {wanted:?}");
        for pid in pids {
            found.push(Watched::new(pid)?);
        }
    }
    Ok(found)
}

fn named(name: &str) -> Vec<u32> {
    let name = &name.as_bytes()[..name.len().min(LONGEST_NAME)];
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pid = |path: &Path| path.file_name()?.to_str()?.parse().ok();
    let is_named = |path: &Path| fs::read(path.join("comm")).is_ok_and(|comm| comm.trim_ascii_end() == name);
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter_map(|path| pid(&path).filter(|_| is_named(&path))).collect()
}

/// CPU time of this process so far.
pub(super) fn own_cpu() -> Duration {
    usage("self").map_or(Duration::ZERO, |(cpu, _)| cpu)
}

/// CPU time so far and resident memory in kB.
fn usage(pid: &str) -> Option<(Duration, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some((cpu(&stat)?, rss(&status)?))
}

/// utime and stime: the 14th and 15th field. The second is a name in parentheses, which may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

fn rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Nothing divided by nothing is nothing.
pub(super) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat =
            "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 150 75 0 0 20 0 4 0 100 1000 200 18446744073709551615";
        assert_eq!(cpu(stat), Some(Duration::from_millis(2250)));
        assert_eq!(cpu("42 (a) S 1"), None);
    }

    #[test]
    fn resident_memory_is_in_kilobytes() {
        assert_eq!(rss("Name:\ta\nVmPeak:\t 9 kB\nVmRSS:\t  5120 kB\n"), Some(5120));
    }

    #[test]
    fn use_is_what_came_on_top_divided_by_the_calls() {
        let watched = Watched {
            pid: 1,
            name: "edge".into(),
            cpu_before: Duration::from_secs(1),
            cpu: Duration::from_secs(3),
            rss_before: 1000,
            rss_peak: 3000,
        };
        let report = watched.report(10, 200.0, Duration::from_secs(20));
        assert_eq!((report.cpu_ms_per_call_second, report.cores, report.rss_kb_per_call), (10.0, 0.1, 200.0));
    }

    #[test]
    fn this_process_is_found_by_its_id_and_nothing_by_a_name_that_nobody_has() {
        let found = find(&[std::process::id().to_string()]).unwrap();
        assert!(found.len() == 1 && found[0].rss_before > 0);
        assert!(find(&["nobody is called this".into()]).is_err());
    }

    #[test]
    fn a_name_that_is_longer_than_a_process_shows_is_found_by_its_beginning() {
        let program = std::env::current_exe().unwrap();
        let name = program.file_name().unwrap().to_str().unwrap();
        assert!(name.len() > LONGEST_NAME, "{name}");
        let found = find(&[name.to_owned()]).unwrap();
        assert!(found.iter().any(|process| process.pid == std::process::id()));
    }
}
