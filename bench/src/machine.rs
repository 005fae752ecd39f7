//! What the machine has, and what a process takes of it.

use std::{fs, num::NonZero, thread, time::Duration};

use anyhow::Context;

use crate::stats::as_f64;

/// Cores that this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Memory of a process in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub resident: f64,
    /// The most it ever was.
    pub peak: f64,
}

/// Asks the kernel for the memory of process `id`.
pub fn memory(id: u32) -> anyhow::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))
        .with_context(|| format!("process {id} has ended"))?;
    let of = |name: &str| {
        let mut lines = status.lines();
        let kib = lines.find_map(|line| line.strip_prefix(name)?.strip_suffix(" kB"));
        let kib = kib.and_then(|text| text.trim().parse::<f64>().ok());
        Ok::<_, anyhow::Error>(kib.with_context(|| format!("no {name} in its status"))? / 1024.0)
    };
    Ok(Memory {
        resident: of("VmRSS:")?,
        peak: of("VmHWM:")?,
    })
}

/// Time on a core that process `id` has had, exact to 10 ms.
pub fn cpu(id: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))
        .with_context(|| format!("process {id} has ended"))?;
    // The name of the program comes before, in brackets, and may hold anything.
    let (_, rest) = stat.rsplit_once(')').context("no name in its stat")?;
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<u64>().ok())
        .sum();
    // Programs are told ticks of 10 ms, whatever the kernel's own are.
    Ok(Duration::from_millis(10 * ticks))
}

/// How long [`is_quiet`] looks.
const LOOK: Duration = Duration::from_millis(500);
/// How often [`wait_for_quiet`] looks: for a minute.
const LOOKS: u32 = 120;
/// The share of the cores that may be busy.
const QUIET: f64 = 0.08;

/// Whether the machine has next to nothing to do.
pub fn is_quiet() -> anyhow::Result<bool> {
    let (busy, all) = ticks()?;
    thread::sleep(LOOK);
    let (busy_then, all_then) = ticks()?;
    Ok(as_f64(busy_then - busy) < QUIET * as_f64(all_then - all))
}

/// Waits until the machine has next to nothing to do; for a minute at most. Returns whether it has.
pub fn wait_for_quiet() -> anyhow::Result<bool> {
    for _ in 0..LOOKS {
        if is_quiet()? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ticks that all cores together were busy, by the host's doing too, and all their ticks.
fn ticks() -> anyhow::Result<(usize, usize)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("cpu "));
    let ticks: Vec<usize> = line
        .context("no cpu in /proc/stat")?
        .split_whitespace()
        // user, nice, system, idle, iowait, irq, softirq, steal
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let all: usize = ticks.iter().sum();
    let idle: usize = ticks.iter().skip(3).take(2).sum();
    Ok((all - idle, all))
}

/// Processes that want to run, on average over the last minute: more than the load of the
/// measurement itself means that it was not alone.
pub fn load() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_time() {
        let before = cpu(std::process::id()).unwrap();
        while cpu(std::process::id()).unwrap() < before + Duration::from_millis(50) {
            std::hint::black_box(fs::read_to_string("/proc/stat").unwrap());
        }
    }

    #[test]
    fn a_machine_is_no_longer_busy_than_it_is_on() {
        let (busy, all) = ticks().unwrap();
        assert!(0 < busy && busy < all);
    }

    #[test]
    fn the_memory_of_a_process_is_known() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.resident > 1.0 && memory.peak >= memory.resident);
    }
}
