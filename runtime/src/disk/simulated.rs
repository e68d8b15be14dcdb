//! A disk in memory that knows what an fsync covers.
//!
//! Every file has what the programs see and what the platter holds; writes since the last fsync lie
//! between. `power_loss` keeps a random part of them (none, a torn prefix, or scattered sectors), and
//! a random prefix of the names not yet covered by an fsync of their folder. Folders themselves are
//! durable at once. A crash (of the power, or of the process alone) kills the mounts and open files
//! of the life before: what still runs of that life can change nothing.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::{Disk, DiskEntry, DiskFile, DiskLock, OpenMode};
use crate::random::Random;
use crate::simulation::{self, Sleep};

const SECTOR: usize = 512;

/// What the disk does wrong now.
#[derive(Debug, Clone, Default)]
pub struct DiskFaults {
    /// Bytes by which files may still grow; then writes fail with `StorageFull`, partly done.
    pub free_bytes: Option<u64>,
    /// Every write fails.
    pub fail_writes: bool,
    /// Every fsync fails and makes nothing durable.
    pub fail_syncs: bool,
    /// `sync_data_timed` waits until this is lifted.
    pub stall_syncs: bool,
    /// The time `sync_data_timed` takes.
    pub sync_latency: Duration,
}

#[derive(Debug)]
enum Write {
    Bytes(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Debug, Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Write>,
}

#[derive(Debug)]
enum NameChange {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Debug)]
struct State {
    files: BTreeMap<u64, File>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    pending_names: Vec<NameChange>,
    dirs: std::collections::BTreeSet<PathBuf>,
    next_inode: u64,
    epoch: u64,
    faults: DiskFaults,
    random: Random,
    trace: DefaultHasher,
    syncs: u64,
    written: u64,
}

/// A file system in memory with faults; clones are one disk.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    /// The life this handle belongs to; none for the test's own, which outlives crashes.
    mounted: Option<u64>,
    state: Arc<Mutex<State>>,
    stalled: watch::Sender<bool>,
}

fn apply(bytes: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Bytes(offset, data) => {
            let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[offset..end].copy_from_slice(data);
        }
        Write::SetLen(len) => bytes.resize(usize::try_from(*len).unwrap_or(usize::MAX), 0),
    }
}

fn apply_name(names: &mut BTreeMap<PathBuf, u64>, change: &NameChange) {
    match change {
        NameChange::Link(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        NameChange::Unlink(path) => {
            names.remove(path);
        }
        NameChange::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

impl NameChange {
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            NameChange::Link(path, _) | NameChange::Unlink(path) => path.parent() == Some(dir),
            NameChange::Rename(from, to) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }
}

impl File {
    fn sync(&mut self) {
        for write in self.pending.drain(..) {
            apply(&mut self.durable, &write);
        }
    }

    /// What is left of the file when the power goes.
    fn lose_power(&mut self, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        match random.below(4) {
            0 => {}
            1 => pending.iter().for_each(|write| apply(&mut self.durable, write)),
            2 => {
                let kept = random.below(pending.len() as u64 + 1);
                for (i, write) in (0u64..).zip(&pending) {
                    match write {
                        write if i < kept => apply(&mut self.durable, write),
                        Write::Bytes(offset, bytes) if i == kept => {
                            let torn = usize::try_from(random.below(bytes.len() as u64 + 1)).unwrap_or(0);
                            apply(&mut self.durable, &Write::Bytes(*offset, bytes[..torn].to_vec()));
                        }
                        _ => {}
                    }
                }
            }
            _ => {
                for write in &pending {
                    let Write::Bytes(offset, bytes) = write else {
                        apply(&mut self.durable, write);
                        continue;
                    };
                    let mut at = *offset;
                    let mut rest = bytes.as_slice();
                    while !rest.is_empty() {
                        let in_sector = usize::try_from(at).unwrap_or(0) % SECTOR;
                        let (piece, later) = rest.split_at(rest.len().min(SECTOR - in_sector));
                        if random.one_in(2) {
                            apply(&mut self.durable, &Write::Bytes(at, piece.to_vec()));
                        }
                        at += piece.len() as u64;
                        rest = later;
                    }
                }
            }
        }
        self.seen = self.durable.clone();
    }
}

impl State {
    fn note(&mut self, what: &str, path: &Path, number: u64) {
        if let Some(sim) = simulation::current() {
            sim.now().hash(&mut self.trace);
        }
        (what, path, number).hash(&mut self.trace);
    }

    fn take_space(&mut self, wanted: u64) -> u64 {
        match &mut self.faults.free_bytes {
            Some(free) => {
                let taken = wanted.min(*free);
                *free -= taken;
                taken
            }
            None => wanted,
        }
    }

    fn forget(&mut self, inode: u64) {
        let named = self.names.values().any(|i| *i == inode);
        if let (false, Some(file)) = (named, self.files.get(&inode))
            && let Some(free) = &mut self.faults.free_bytes
        {
            *free += file.seen.len() as u64;
        }
    }
}

impl SimulatedDisk {
    /// An empty disk; `seed` decides what a power loss keeps.
    pub fn new(seed: u64) -> Self {
        let state = State {
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            dirs: std::iter::once(PathBuf::from("/")).collect(),
            next_inode: 1,
            epoch: 0,
            faults: DiskFaults::default(),
            random: Random::new(seed),
            trace: DefaultHasher::new(),
            syncs: 0,
            written: 0,
        };
        SimulatedDisk { mounted: None, state: Arc::new(Mutex::new(state)), stalled: watch::channel(false).0 }
    }

    /// The disk as the next life of a node sees it; it fails from the next crash on.
    #[must_use]
    pub fn mount(&self) -> Self {
        let mounted = Some(self.state.lock().epoch);
        SimulatedDisk { mounted, ..self.clone() }
    }

    fn live(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        match self.mounted {
            Some(epoch) if epoch != state.epoch => {
                Err(io::Error::other("the disk was mounted before the crash"))
            }
            _ => Ok(state),
        }
    }

    /// Changes what goes wrong from now on.
    pub fn set_faults(&self, change: impl FnOnce(&mut DiskFaults)) {
        let stalled = {
            let mut state = self.state.lock();
            change(&mut state.faults);
            state.faults.stall_syncs
        };
        self.stalled.send_replace(stalled);
    }

    /// The power goes: what no fsync covers is lost, wholly or in part. Open handles are dead.
    pub fn power_loss(&self) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.epoch += 1;
        let kept = state.random.below(state.pending_names.len() as u64 + 1);
        for (_, change) in (0..kept).zip(std::mem::take(&mut state.pending_names)) {
            apply_name(&mut state.durable_names, &change);
        }
        state.names = state.durable_names.clone();
        let live: std::collections::BTreeSet<u64> = state.names.values().copied().collect();
        state.files.retain(|inode, _| live.contains(inode));
        for file in state.files.values_mut() {
            file.lose_power(&mut state.random);
        }
        state.note("power loss", Path::new("/"), kept);
        drop(guard);
        self.stalled.send_replace(false);
        self.state.lock().faults.stall_syncs = false;
    }

    /// The process dies, the machine lives: nothing is lost, open handles are dead.
    pub fn process_death(&self) {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.note("death", Path::new("/"), 0);
    }

    /// A hash over every change made so far, in order, with its virtual time: equal runs have
    /// equal hashes.
    pub fn trace_hash(&self) -> u64 {
        self.state.lock().trace.finish()
    }

    /// File fsyncs so far.
    pub fn sync_count(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Bytes written so far.
    pub fn written_bytes(&self) -> u64 {
        self.state.lock().written
    }
}

impl Disk for SimulatedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut guard = self.live()?;
        let state = &mut *guard;
        let existing = state.names.get(path).copied();
        let inode = match (mode, existing) {
            (OpenMode::Read | OpenMode::Write, None) => return Err(io::ErrorKind::NotFound.into()),
            (OpenMode::CreateNew, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::Truncate, Some(inode)) => {
                if let Some(file) = state.files.get_mut(&inode) {
                    file.seen.clear();
                    file.pending.push(Write::SetLen(0));
                }
                inode
            }
            (_, Some(inode)) => inode,
            (_, None) => {
                let dir = path.parent().unwrap_or(Path::new("/"));
                if !state.dirs.contains(dir) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let inode = state.next_inode;
                state.next_inode += 1;
                state.files.insert(inode, File::default());
                state.names.insert(path.to_path_buf(), inode);
                state.pending_names.push(NameChange::Link(path.to_path_buf(), inode));
                state.note("create", path, inode);
                inode
            }
        };
        let (disk, epoch, writable) = (self.clone(), state.epoch, mode != OpenMode::Read);
        Ok(Arc::new(SimulatedFile { disk, inode, epoch, writable }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.live()?;
        let Some(inode) = state.names.remove(from) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let replaced = state.names.insert(to.to_path_buf(), inode);
        state.pending_names.push(NameChange::Rename(from.to_path_buf(), to.to_path_buf()));
        if let Some(replaced) = replaced {
            state.forget(replaced);
        }
        state.note("rename", to, inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.live()?;
        let Some(inode) = state.names.remove(path) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        state.pending_names.push(NameChange::Unlink(path.to_path_buf()));
        state.forget(inode);
        state.note("remove", path, inode);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let inside: Vec<PathBuf> =
            self.live()?.names.keys().filter(|name| name.starts_with(path)).cloned().collect();
        for name in inside {
            self.remove(&name)?;
        }
        self.live()?.dirs.retain(|dir| !dir.starts_with(path));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let state = self.live()?;
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name =
            |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut entries = Vec::new();
        for (path, inode) in state.names.iter().filter(|(path, _)| path.parent() == Some(dir)) {
            let len = state.files.get(inode).map_or(0, |file| file.seen.len() as u64);
            entries.push(DiskEntry { name: name(path), len, is_dir: false });
        }
        for path in state.dirs.iter().filter(|path| path.parent() == Some(dir)) {
            entries.push(DiskEntry { name: name(path), len: 0, is_dir: true });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<DiskEntry>> {
        let state = self.live()?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if state.dirs.contains(path) {
            return Ok(Some(DiskEntry { name, len: 0, is_dir: true }));
        }
        let file = state.names.get(path).and_then(|inode| state.files.get(inode));
        Ok(file.map(|file| DiskEntry { name, len: file.seen.len() as u64, is_dir: false }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.live()?;
        for dir in path.ancestors() {
            state.dirs.insert(dir.to_path_buf());
        }
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<DiskLock> {
        self.live().map(|_| DiskLock(None))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut guard = self.live()?;
        let state = &mut *guard;
        if state.faults.fail_syncs {
            return Err(io::Error::other("injected fsync error"));
        }
        let mut later = Vec::new();
        for change in std::mem::take(&mut state.pending_names) {
            if change.is_in(path) {
                apply_name(&mut state.durable_names, &change);
            } else {
                later.push(change);
            }
        }
        state.pending_names = later;
        state.note("sync dir", path, 0);
        Ok(())
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    inode: u64,
    epoch: u64,
    writable: bool,
}

impl SimulatedFile {
    fn with<T>(&self, write: bool, work: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state.lock();
        if state.epoch != self.epoch {
            return Err(io::Error::other("the file was opened before the crash"));
        }
        if write && !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if !state.files.contains_key(&self.inode) {
            return Err(io::ErrorKind::NotFound.into());
        }
        work(&mut state, self.inode)
    }
}

fn file_of(state: &mut State, inode: u64) -> io::Result<&mut File> {
    state.files.get_mut(&inode).ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.with(false, |state, inode| {
            let file = file_of(state, inode)?;
            let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(file.seen.len());
            let count = into.len().min(file.seen.len() - offset);
            into[..count].copy_from_slice(&file.seen[offset..offset + count]);
            Ok(count)
        })
    }

    fn write_vectored_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.with(true, |state, inode| {
            if state.faults.fail_writes {
                return Err(io::Error::other("injected write error"));
            }
            let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
            parts.iter().for_each(|part| bytes.extend_from_slice(part));
            let before = file_of(state, inode)?.seen.len() as u64;
            let growth = (offset + bytes.len() as u64).saturating_sub(before);
            let taken = state.take_space(growth);
            let wanted = bytes.len();
            if taken < growth {
                let fits = (before + taken).saturating_sub(offset);
                bytes.truncate(usize::try_from(fits).unwrap_or(0).min(wanted));
            }
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            state.written += bytes.len() as u64;
            let path = PathBuf::from(inode.to_string());
            state.note("write", &path, offset ^ hasher.finish());
            let whole = bytes.len() == wanted;
            if !bytes.is_empty() {
                let file = file_of(state, inode)?;
                let write = Write::Bytes(offset, bytes);
                apply(&mut file.seen, &write);
                file.pending.push(write);
            }
            if whole { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(false, |state, inode| Ok(file_of(state, inode)?.seen.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(true, |state, inode| {
            let before = file_of(state, inode)?.seen.len() as u64;
            if let Some(free) = &mut state.faults.free_bytes {
                *free = (*free + before).checked_sub(len).ok_or(io::ErrorKind::StorageFull)?;
            }
            let file = file_of(state, inode)?;
            apply(&mut file.seen, &Write::SetLen(len));
            file.pending.push(Write::SetLen(len));
            state.note("cut", Path::new(""), len);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(true, |state, inode| {
            if state.faults.fail_syncs {
                return Err(io::Error::other("injected fsync error"));
            }
            file_of(state, inode)?.sync();
            state.syncs += 1;
            state.note("sync", Path::new(""), inode);
            Ok(())
        })
    }

    fn sync_data_timed(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let latency = self.disk.state.lock().faults.sync_latency;
            if !latency.is_zero() {
                Sleep::new(latency).await;
            }
            let mut stalled = self.disk.stalled.subscribe();
            // fails only without a sender, and self holds one
            let _closed = stalled.wait_for(|stalled| !*stalled).await.is_err();
            self.sync_data()
        })
    }
}
