//! How much memory there is.

/// Bytes of memory that this process can have; 0 where that cannot be found out.
pub(crate) fn machine_memory() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let whole = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<usize>().ok())
        .map_or(0, |kilobytes| kilobytes.saturating_mul(1024));
    // that of a container, where there is one
    match read("/sys/fs/cgroup/memory.max").trim().parse::<usize>() {
        Ok(limit) if whole == 0 || limit < whole => limit,
        _ => whole,
    }
}
