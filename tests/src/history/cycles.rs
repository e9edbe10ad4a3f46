//! Cycles, found and named.
//!
//! For each order (the data's alone, with sessions, with real time) the classes are searched from the worst to the mildest:
//!
//! | class | the cycle | found by |
//! |---|---|---|
//! | G0 | ww only | components over ww |
//! | G1c | ww and wr | components over ww and wr |
//! | lost update | an rw, and ww of the same key back; or two rw of a register or list that both wrote | the key's own edges |
//! | G-single | one rw, and the way back over what is visible | the closure over what is visible |
//! | long fork | rw never next to rw | components of the graph times {came over rw, did not} |
//! | write skew | two rw between two transactions | the edges of two |
//! | G2 | any other, also with inferred edges | components over everything |
//!
//! Whenever there is a cycle at all, something is found: the shortest one has no rw, or one, or several apart, or two that
//! are next to each other. Which cycle stands for its class, the shortest of the first few, is a matter of taste.
//!
//! An lww register's versions are ordered by stamps (*arbitration*), which says nothing of what is visible: such
//! edges count in G0 and G1c only.

use std::collections::{HashSet, VecDeque};

use super::History;
use super::Kind;
use super::classes::{Anomaly, Class, Layer};
use super::graph::{Closure, Edge, Graph, Link, components};

/// How many cycles of a class are looked at for the shortest.
const FEW: usize = 48;

/// The shortest cycle it comes across of each class, each at the weakest order that shows it.
pub fn find(history: &History, graph: &Graph, most: Layer) -> Vec<Anomaly> {
    let mut found: Vec<Anomaly> = Vec::new();
    for layer in [Layer::Data, Layer::Session, Layer::RealTime].into_iter().filter(|layer| *layer <= most) {
        let search = Search::new(history, graph, layer);
        for (class, cycle) in search.all() {
            if found.iter().all(|other| other.class != class) {
                found.push(Anomaly::cycle(class, layer, history, &cycle));
            }
        }
    }
    found
}

struct Search<'a> {
    history: &'a History,
    graph: &'a Graph,
    layer: Layer,
    visible: Closure,
}

/// How a walk back to a cycle's first edge may go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Back {
    /// As `keep` says.
    Any,
    /// No rw next to another.
    Apart,
    /// Some rw next to another.
    Adjacent,
}

impl<'a> Search<'a> {
    fn new(history: &'a History, graph: &'a Graph, layer: Layer) -> Search<'a> {
        let visible = graph.closure(|link| link.layer() <= layer && link.is_visible());
        Search { history, graph, layer, visible }
    }

    fn all(&self) -> Vec<(Class, Vec<Edge>)> {
        let mut found = Vec::new();
        let order = |link: &Link| matches!(link, Link::Session | Link::RealTime);
        let ww = |link: &Link| matches!(link, Link::Ww { .. } | Link::Arbitration { .. });
        let wr = |link: &Link| matches!(link, Link::Wr { .. });
        found.extend(self.without_rw(ww, |link| ww(link) || order(link)).map(|cycle| (Class::G0, cycle)));
        found.extend(
            self.without_rw(wr, |link| ww(link) || wr(link) || order(link)).map(|cycle| (Class::G1c, cycle)),
        );
        let lost = self.lost_updates();
        let told: HashSet<(usize, usize)> = lost.iter().map(|cycle| (cycle[0].from, cycle[0].to)).collect();
        found.extend(shortest(lost).map(|cycle| (Class::LostUpdate, cycle)));
        found.extend(self.single().map(|cycle| (Class::GSingle, cycle)));
        found.extend(self.fork().map(|cycle| (Class::LongFork, cycle)));
        let skews = self.skews(&told);
        let told: HashSet<(usize, usize)> =
            skews.iter().map(|cycle| (cycle[0].from, cycle[0].to)).chain(told).collect();
        found.extend(skews.into_iter().next().map(|cycle| (Class::WriteSkew, cycle)));
        found.extend(self.rest(&told).or_else(|| self.inferred()).map(|cycle| (Class::G2, cycle)));
        found
    }

    fn keep(&self, link: &Link) -> bool {
        link.layer() <= self.layer
    }

    /// What counts in cycles with rw.
    fn sees(&self, link: &Link) -> bool {
        self.keep(link) && (link.is_rw() || link.is_visible())
    }

    fn rw(&self) -> impl Iterator<Item = &'a Edge> {
        self.graph.edges().iter().filter(|edge| edge.link.is_rw())
    }

    /// A cycle over `over` that has an edge of `first`.
    fn without_rw(&self, first: impl Fn(&Link) -> bool, over: impl Fn(&Link) -> bool) -> Option<Vec<Edge>> {
        let over = |link: &Link| self.keep(link) && over(link);
        let component = self.graph.components(over);
        let inside =
            self.graph.edges().iter().filter(|e| first(&e.link) && component[e.from] == component[e.to]);
        shortest(inside.take(FEW).filter_map(|edge| self.walk(edge, over, Back::Any)))
    }

    fn lost_updates(&self) -> Vec<Vec<Edge>> {
        let mut lost = Vec::new();
        for edge in self.rw() {
            let Link::Rw { key, .. } = edge.link else { continue };
            if key.kind == Kind::Set || !self.history.transactions[edge.from].wrote(key) {
                continue;
            }
            let back = |other: &&Edge| {
                other.to == edge.from
                    && matches!(other.link, Link::Rw { key: same, .. } if same == key)
                    && self.history.transactions[edge.to].wrote(key)
            };
            let over = |link: &Link| matches!(link, Link::Ww { key: same, .. } if *same == key);
            match self.graph.from(edge.to).find(back) {
                Some(back) => lost.push(vec![*edge, *back]),
                None => lost.extend(self.walk(edge, over, Back::Any)),
            }
        }
        lost
    }

    fn single(&self) -> Option<Vec<Edge>> {
        let cycles = self.rw().filter(|edge| self.visible.leads(edge.to, edge.from));
        shortest(
            cycles
                .take(FEW)
                .filter_map(|edge| self.walk(edge, |link| self.keep(link) && link.is_visible(), Back::Any)),
        )
    }

    fn fork(&self) -> Option<Vec<Edge>> {
        // Node 2n: came to n over anything but rw; 2n + 1: over rw, so no rw may follow.
        let next = |state: usize| {
            let edges = self.graph.from(state / 2).filter(|edge| self.sees(&edge.link));
            let edges = edges.filter(|edge| state.is_multiple_of(2) || !edge.link.is_rw());
            edges.map(|edge| 2 * edge.to + usize::from(edge.link.is_rw())).collect()
        };
        let component = components(2 * self.graph.nodes(), next);
        let apart = self.rw().filter(|edge| component[2 * edge.from] == component[2 * edge.to + 1]);
        let apart = apart.filter(|edge| !self.visible.leads(edge.to, edge.from)).take(FEW);
        shortest(apart.filter_map(|edge| self.walk(edge, |link| self.sees(link), Back::Apart)))
    }

    fn skews(&self, told: &HashSet<(usize, usize)>) -> Vec<Vec<Edge>> {
        let edges = self.rw().filter(|edge| !told.contains(&(edge.from, edge.to)));
        let back = |edge: &Edge| {
            let mut back = self.graph.from(edge.to).filter(|b| b.to == edge.from && b.link.is_rw());
            back.find(|b| !told.contains(&(b.from, b.to))).copied()
        };
        edges.filter_map(|edge| Some(vec![*edge, back(edge)?])).collect()
    }

    fn rest(&self, told: &HashSet<(usize, usize)>) -> Option<Vec<Edge>> {
        let component = self.graph.components(|link| self.sees(link));
        let inside = self.rw().filter(|edge| component[edge.from] == component[edge.to]);
        let inside = inside.filter(|edge| !told.contains(&(edge.from, edge.to)));
        let walks = inside.filter_map(|edge| self.walk(edge, |link| self.sees(link), Back::Adjacent));
        shortest(walks.filter(|cycle| cycle.len() > 2 && simple(cycle)).take(FEW))
    }

    /// A cycle over an edge that was inferred from anti-dependencies.
    fn inferred(&self) -> Option<Vec<Edge>> {
        let over = |link: &Link| self.keep(link) && !matches!(link, Link::Arbitration { .. });
        let component = self.graph.components(over);
        let inside = self.graph.edges().iter().filter(|e| component[e.from] == component[e.to]);
        let inside = inside.filter(|edge| matches!(edge.link, Link::Before { .. })).take(FEW);
        shortest(inside.filter_map(|edge| self.walk(edge, over, Back::Any)))
    }

    /// The shortest closed walk that begins with an edge and goes on over what `keep` keeps.
    fn walk(&self, first: &Edge, keep: impl Fn(&Link) -> bool, back: Back) -> Option<Vec<Edge>> {
        let rw = first.link.is_rw();
        let start = State { node: first.to, rw, adjacent: false };
        let done = |state: &State| {
            let adjacent = state.adjacent || state.rw && rw;
            state.node == first.from
                && match back {
                    Back::Any => true,
                    Back::Apart => !adjacent,
                    Back::Adjacent => adjacent,
                }
        };
        let mut came: Vec<Option<(usize, Edge)>> = vec![None; 4 * self.graph.nodes()];
        let mut queue = VecDeque::from([start]);
        while let Some(state) = queue.pop_front() {
            if done(&state) {
                let mut cycle = Vec::new();
                let mut at = state.number();
                while at != start.number() {
                    let (before, edge) = came[at].as_ref()?;
                    cycle.push(*edge);
                    at = *before;
                }
                cycle.push(*first);
                cycle.reverse();
                return Some(cycle);
            }
            for edge in self.graph.from(state.node).filter(|edge| keep(&edge.link)) {
                let rw = edge.link.is_rw();
                let adjacent = state.adjacent || state.rw && rw;
                let next = State { node: edge.to, rw, adjacent };
                if back == Back::Apart && adjacent || came[next.number()].is_some() || next == start {
                    continue;
                }
                came[next.number()] = Some((state.number(), *edge));
                queue.push_back(next);
            }
        }
        None
    }
}

/// Where a walk is, over what it came there, and whether it has passed two rw in a row.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    node: usize,
    rw: bool,
    adjacent: bool,
}

impl State {
    fn number(&self) -> usize {
        4 * self.node + 2 * usize::from(self.rw) + usize::from(self.adjacent)
    }
}

fn shortest(cycles: impl IntoIterator<Item = Vec<Edge>>) -> Option<Vec<Edge>> {
    cycles.into_iter().min_by_key(Vec::len)
}

/// Whether no transaction stands twice in it.
fn simple(cycle: &[Edge]) -> bool {
    cycle.iter().map(|edge| edge.from).collect::<HashSet<_>>().len() == cycle.len()
}
