//! What the machine has, and what a process takes of it.

use std::{fs, num::NonZero, thread};

use anyhow::Context;

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

/// Processes that want to run, on average over the last minute: more than the load of the
/// measurement itself means that it was not alone.
pub fn load() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_memory_of_a_process_is_known() {
        let memory = super::memory(std::process::id()).unwrap();
        assert!(memory.resident > 1.0 && memory.peak >= memory.resident);
    }
}
