//! The graph of dependencies between transactions, its strongly connected components and its closure.

use std::collections::HashSet;
use std::mem::Discriminant;

use super::Key;
use super::classes::Layer;

/// Why one transaction comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// ww: `then`, written by the later one, comes after the earlier one's `first` in the versions of a key.
    Ww { key: Key, first: i64, then: i64 },
    /// ww of an lww register, where stamps decide: the later one need not have seen the earlier.
    Arbitration { key: Key, first: i64, then: i64 },
    /// wr: the later one saw this value of the earlier.
    Wr { key: Key, value: i64 },
    /// rw: the earlier one read the key and did not see this value, nor any newer one; the later wrote it.
    Rw { key: Key, missed: i64 },
    /// In any serial order it comes before, given what was read of the key; `first` and `then` are what was written, or
    /// read, by the one and written by the other.
    Before { key: Key, first: i64, then: i64 },
    /// so: the next in the same session.
    Session,
    /// rt: acknowledged before the other began.
    RealTime,
}

impl Link {
    /// Whether it is an anti-dependency.
    pub fn is_rw(&self) -> bool {
        matches!(self, Link::Rw { .. })
    }

    /// Whether the later one must see all that the earlier saw and wrote.
    pub fn is_visible(&self) -> bool {
        !matches!(self, Link::Rw { .. } | Link::Arbitration { .. } | Link::Before { .. })
    }

    /// The weakest kind of order in which it counts.
    pub fn layer(&self) -> Layer {
        match self {
            Link::Session => Layer::Session,
            Link::RealTime => Layer::RealTime,
            _ => Layer::Data,
        }
    }
}

/// `from` comes before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    pub link: Link,
}

/// Transactions are numbered as in the history; those that do not count have no edges.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    edges: Vec<Edge>,
    out: Vec<Vec<usize>>,
    known: HashSet<(usize, usize, Discriminant<Link>, Option<Key>)>,
}

impl Graph {
    /// Without edges.
    pub fn new(nodes: usize) -> Graph {
        Graph { edges: Vec::new(), out: vec![Vec::new(); nodes], known: HashSet::new() }
    }

    /// Adds an edge between two different transactions, unless there is one of its kind and key; whether it is new.
    pub fn add(&mut self, from: usize, to: usize, link: Link) -> bool {
        let key = match link {
            Link::Ww { key, .. } | Link::Arbitration { key, .. } => Some(key),
            Link::Wr { key, .. } | Link::Rw { key, .. } | Link::Before { key, .. } => Some(key),
            Link::Session | Link::RealTime => None,
        };
        let new = from != to && self.known.insert((from, to, std::mem::discriminant(&link), key));
        if new {
            self.out[from].push(self.edges.len());
            self.edges.push(Edge { from, to, link });
        }
        new
    }

    /// How many transactions it is over.
    pub fn nodes(&self) -> usize {
        self.out.len()
    }

    /// All edges.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The edges that leave a transaction.
    pub fn from(&self, node: usize) -> impl Iterator<Item = &Edge> {
        self.out[node].iter().map(|edge| &self.edges[*edge])
    }

    /// The number of the strongly connected component of each transaction, over the edges that `keep` keeps.
    pub fn components(&self, keep: impl Fn(&Link) -> bool) -> Vec<usize> {
        let next = |node: usize| self.from(node).filter(|e| keep(&e.link)).map(|e| e.to).collect();
        components(self.nodes(), next)
    }

    /// Who is reached from whom over at least one of the edges that `keep` keeps.
    pub fn closure(&self, keep: impl Fn(&Link) -> bool) -> Closure {
        let component = self.components(&keep);
        let words = self.nodes().div_ceil(64);
        let count = component.iter().max().map_or(0, |most| most + 1);
        let mut members = vec![Vec::new(); count];
        component.iter().enumerate().for_each(|(node, at)| members[*at].push(node));
        // Components come out of Tarjan's algorithm after all that they reach.
        let mut reached: Vec<Vec<u64>> = Vec::with_capacity(count);
        for (at, members) in members.iter().enumerate() {
            let mut bits = vec![0u64; words];
            for edge in members.iter().flat_map(|node| self.from(*node)).filter(|e| keep(&e.link)) {
                bits[edge.to / 64] |= 1 << (edge.to % 64);
                if component[edge.to] != at {
                    bits.iter_mut().zip(&reached[component[edge.to]]).for_each(|(bit, more)| *bit |= more);
                }
            }
            reached.push(bits);
        }
        Closure { component, reached }
    }
}

/// See [`Graph::closure`].
#[derive(Debug)]
pub struct Closure {
    component: Vec<usize>,
    reached: Vec<Vec<u64>>,
}

impl Closure {
    /// Whether a path leads from one to the other.
    pub fn leads(&self, from: usize, to: usize) -> bool {
        self.reached[self.component[from]][to / 64] >> (to % 64) & 1 == 1
    }
}

/// Tarjan's strongly connected components (Depth-First Search and Linear Graph Algorithms, SIAM J. Comput. 1972), without
/// recursion. A component's number is greater than those of all components that it reaches.
pub fn components(nodes: usize, next: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    const NONE: usize = usize::MAX;
    let (mut index, mut low) = (vec![NONE; nodes], vec![0; nodes]);
    let (mut component, mut stack) = (vec![NONE; nodes], Vec::new());
    let (mut indices, mut count) = (0, 0);
    for root in 0..nodes {
        if index[root] != NONE {
            continue;
        }
        let mut calls: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut enter = Some(root);
        loop {
            if let Some(node) = enter.take() {
                (index[node], low[node]) = (indices, indices);
                indices += 1;
                stack.push(node);
                calls.push((node, next(node)));
            }
            let Some((node, rest)) = calls.last_mut() else { break };
            let node = *node;
            match rest.pop() {
                Some(to) if index[to] == NONE => enter = Some(to),
                Some(to) if component[to] == NONE => low[node] = low[node].min(index[to]),
                Some(_) => {}
                None => {
                    calls.pop();
                    if let Some((parent, _)) = calls.last() {
                        low[*parent] = low[*parent].min(low[node]);
                    }
                    if low[node] == index[node] {
                        while let Some(member) = stack.pop() {
                            component[member] = count;
                            if member == node {
                                break;
                            }
                        }
                        count += 1;
                    }
                }
            }
        }
    }
    component
}
