//! The names: what a process sees, what is durable, and the changes between, each of which survives or not on its own.
//!
//! Relies on: paths without `..`. Never: looks into a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

/// A file's identity, whatever its names.
pub(super) type InodeId = u64;

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    File(InodeId),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    visible: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    /// In the order of the calls.
    pending: Vec<Pending>,
}

#[derive(Clone, Debug)]
struct Pending {
    call: u64,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Add {
        path: PathBuf,
        node: Node,
    },
    Remove {
        path: PathBuf,
        node: Node,
    },
    /// Within one directory: both or neither.
    Rename {
        from: PathBuf,
        to: PathBuf,
        node: Node,
    },
}

impl Names {
    /// What `path` leads to; the roots `/` and the empty path are directories that always exist.
    pub(super) fn find(&self, path: &Path) -> Option<Node> {
        if is_root(path) {
            return Some(Node::Dir);
        }
        self.visible.get(path).copied()
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        self.find(path) == Some(Node::Dir)
    }

    /// Whether something may be created under the name `path`.
    pub(super) fn check_parent(&self, path: &Path) -> Result<(), Errno> {
        match path.parent() {
            Some(parent) if self.is_dir(parent) => Ok(()),
            _ => Err(self.missing(path)),
        }
    }

    /// Why there is nothing called `path`: the name is free, or a file is in the place of a directory.
    pub(super) fn missing(&self, path: &Path) -> Errno {
        let found = path.ancestors().skip(1).find_map(|above| self.find(above));
        match found {
            Some(Node::File(_)) => Errno::NOTDIR,
            Some(Node::Dir) | None => Errno::NOENT,
        }
    }

    /// Refuses what is not a directory.
    pub(super) fn check_dir(&self, path: &Path) -> Result<(), Errno> {
        match self.find(path) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(Errno::NOTDIR),
            None => Err(self.missing(path)),
        }
    }

    /// Refuses what is not a file.
    pub(super) fn check_file(&self, path: &Path) -> Result<InodeId, Errno> {
        match self.find(path) {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Dir) => Err(Errno::ISDIR),
            None => Err(self.missing(path)),
        }
    }

    pub(super) fn children<'a>(&'a self, dir: &'a Path) -> impl Iterator<Item = &'a Path> {
        let child = move |path: &&Path| path.parent() == Some(dir);
        self.visible.keys().map(PathBuf::as_path).filter(child)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, InodeId)> {
        only_files(&self.visible)
    }

    pub(super) fn durable_files(&self) -> impl Iterator<Item = (&Path, InodeId)> {
        only_files(&self.durable)
    }

    pub(super) fn durable_dirs(&self) -> impl Iterator<Item = &Path> {
        let dirs = self.durable.iter().filter(|(_, node)| **node == Node::Dir);
        dirs.map(|(path, _)| path.as_path())
    }

    pub(super) fn add(&mut self, path: &Path, node: Node, call: u64) {
        self.visible.insert(path.to_path_buf(), node);
        self.push(
            call,
            Change::Add {
                path: path.to_path_buf(),
                node,
            },
        );
    }

    pub(super) fn remove(&mut self, path: &Path, node: Node, call: u64) {
        self.visible.remove(path);
        self.push(
            call,
            Change::Remove {
                path: path.to_path_buf(),
                node,
            },
        );
    }

    /// Across directories the new and the old name are in different blocks, so they are two changes.
    pub(super) fn rename(&mut self, from: &Path, to: &Path, node: Node, call: u64) {
        if from.parent() != to.parent() {
            self.add(to, node, call);
            self.remove(from, node, call);
            return;
        }
        self.visible.remove(from);
        self.visible.insert(to.to_path_buf(), node);
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        self.push(call, Change::Rename { from, to, node });
    }

    /// Makes the changes in `dir` durable.
    pub(super) fn sync_dir(&mut self, dir: &Path) {
        for Pending { call, change } in std::mem::take(&mut self.pending) {
            if change.dir() == Some(dir) {
                change.apply(&mut self.durable);
            } else {
                self.push(call, change);
            }
        }
    }

    /// The calls that made the pending changes, in order.
    pub(super) fn pending_calls(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|pending| pending.call)
    }

    /// The names after a crash that kept those pending changes whose numbers are in `kept`.
    pub(super) fn survivor(&self, kept: &BTreeSet<usize>) -> Self {
        let mut durable = self.durable.clone();
        for (index, pending) in self.pending.iter().enumerate() {
            if kept.contains(&index) {
                pending.change.apply(&mut durable);
            }
        }
        remove_orphans(&mut durable);
        Self {
            visible: durable.clone(),
            durable,
            pending: Vec::new(),
        }
    }

    /// Every file that a name leads to, led to durably, or will.
    pub(super) fn referenced(&self) -> BTreeSet<InodeId> {
        let pending = self.pending.iter().map(|pending| pending.change.node());
        let named = self.visible.values().chain(self.durable.values()).copied();
        named
            .chain(pending)
            .filter_map(|node| match node {
                Node::File(inode) => Some(inode),
                Node::Dir => None,
            })
            .collect()
    }

    /// Takes a name away as if it had never been; for rot.
    pub(super) fn rot_remove(&mut self, path: &Path) {
        self.visible.remove(path);
        self.durable.remove(path);
        self.pending
            .retain(|pending| !pending.change.mentions(path));
    }

    fn push(&mut self, call: u64, change: Change) {
        self.pending.push(Pending { call, change });
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Add { path, node } => {
                names.insert(path.clone(), *node);
            }
            Self::Remove { path, node } => remove_if(names, path, *node),
            Self::Rename { from, to, node } => {
                remove_if(names, from, *node);
                names.insert(to.clone(), *node);
            }
        }
    }

    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Add { path, .. } | Self::Remove { path, .. } => path.parent(),
            Self::Rename { to, .. } => to.parent(),
        }
    }

    const fn node(&self) -> Node {
        match self {
            Self::Add { node, .. } | Self::Remove { node, .. } | Self::Rename { node, .. } => *node,
        }
    }

    fn mentions(&self, name: &Path) -> bool {
        match self {
            Self::Add { path, .. } | Self::Remove { path, .. } => path == name,
            Self::Rename { from, to, .. } => from == name || to == name,
        }
    }
}

/// A path in one spelling: without `.` components and trailing slashes.
pub(super) fn normal(path: &Path) -> PathBuf {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .collect()
}

fn is_root(path: &Path) -> bool {
    path.parent().is_none()
}

/// The name may meanwhile lead to another file, if a change in between was lost.
fn remove_if(names: &mut BTreeMap<PathBuf, Node>, path: &Path, node: Node) {
    if names.get(path) == Some(&node) {
        names.remove(path);
    }
}

/// Names in a directory that did not survive are gone with it. Parents sort before their children.
fn remove_orphans(names: &mut BTreeMap<PathBuf, Node>) {
    let mut dirs = BTreeSet::new();
    names.retain(|path, node| {
        let kept = path
            .parent()
            .is_none_or(|parent| is_root(parent) || dirs.contains(parent));
        if kept && *node == Node::Dir {
            dirs.insert(path.clone());
        }
        kept
    });
}

fn only_files(names: &BTreeMap<PathBuf, Node>) -> impl Iterator<Item = (&Path, InodeId)> {
    names.iter().filter_map(|(path, node)| match node {
        Node::File(inode) => Some((path.as_path(), *inode)),
        Node::Dir => None,
    })
}
