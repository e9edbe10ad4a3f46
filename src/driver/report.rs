//! What a site says of itself over HTTP: put together from what the site publishes and the transport knows.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gemini_replication::quic::{PeerStatus, Transport};
use gemini_shadow_ops::{Frontier, SiteId};
use serde_json::{Value, json};

use super::archive;
use super::mailbox::Courier;
use crate::host::shown_key;
use crate::http::StatusSource;
use crate::site::{
    Finding, Input, MemberAnswer, MemberRequest, MemberStatus, Moment, Reply, Shared, Standing, Status,
    Verification,
};

pub(super) struct Report {
    pub name: String,
    pub id: SiteId,
    pub names: Vec<(SiteId, String)>,
    pub shared: Arc<Shared>,
    pub transport: Transport,
    pub courier: Courier,
    /// None: the log is not archived.
    pub archive: Option<Arc<archive::Standing>>,
}

impl Report {
    /// How far the comparison with the peers is, and what it has found.
    fn verification(&self, status: &Status) -> Value {
        let Verification { rounds, asked, compared, undecided, missed, findings } = &status.verification;
        let snapshot = self.shared.reader.snapshot();
        let finding = |finding: &Finding| {
            let table = snapshot.schema().tables.get(&finding.table).map(|table| &**table);
            json!({
                "table": table.map_or_else(|| finding.table.to_string(), |table| table.name.clone()),
                "key": shown_key(table, &finding.key),
                "site": self.label(finding.peer),
                "difference": finding.difference.to_string(),
            })
        };
        json!({
            "rounds": rounds,
            "asked": asked,
            "compared": compared,
            "undecided": undecided,
            "missed": missed.iter().map(|site| self.label(*site)).collect::<Vec<_>>(),
            "findings": findings.keys().map(finding).collect::<Vec<_>>(),
        })
    }

    fn member(member: &MemberStatus) -> Value {
        let MemberStatus { site, name, peer, class, standing } = member;
        let (standing, says) = match standing {
            Standing::Learner => ("learner", None),
            Standing::Voter => ("voter", None),
            Standing::Fenced => ("fenced", Some("its final count is being settled".to_owned())),
            Standing::Closed { count, said } => {
                let lost = said.saturating_sub(*count);
                let known =
                    if lost > 0 { format!(", {lost} more are known to be lost") } else { String::new() };
                ("closed", Some(format!("{count} transactions of it are kept{known}")))
            }
        };
        json!({ "id": site.0, "name": name, "peer": peer, "class": class, "standing": standing, "says": says })
    }

    fn label(&self, site: SiteId) -> String {
        let known = self.names.iter().find(|(id, _)| *id == site);
        let joined = || self.shared.status().members.into_iter().find(|member| member.site == site);
        let joined = || joined().map(|member| member.name);
        known.map(|(_, name)| name.clone()).or_else(joined).unwrap_or_else(|| format!("site {site}"))
    }

    fn frontier(&self, frontier: &Frontier) -> Value {
        let blue: serde_json::Map<String, Value> =
            frontier.blues().map(|(site, n)| (self.label(site), json!(n))).collect();
        json!({ "blue": blue, "red": frontier.red })
    }

    fn peer(&self, link: &PeerStatus, status: &Status) -> Value {
        let seen = status.peers.get(&link.site).cloned().unwrap_or_default();
        json!({
            "site": link.name,
            "link": if link.link.is_some() { "up" } else { "down" },
            "reachable": seen.reachable,
            "round_trip_ms": link.round_trip.map(|time| (time.as_secs_f64() * 10_000.0).round() / 10.0),
            "unacknowledged": seen.unacknowledged,
            "behind": seen.behind,
            "cut_off": seen.cut_off,
            "queued_bytes": link.queued_bytes,
            "links_made": link.links,
            "reason": if link.link.is_some() { None } else { link.last_error.clone() },
        })
    }
}

impl StatusSource for Report {
    fn status(&self) -> Value {
        let status = self.shared.status();
        let counts = status.counts;
        let peers: Vec<Value> = self.transport.peers().iter().map(|link| self.peer(link, &status)).collect();
        json!({
            "site": self.name,
            "id": self.id.0,
            "frontier": self.frontier(&status.frontier),
            "schema_version": status.schema_version,
            "leader": status.leader.map(|(site, _)| self.label(site)),
            "term": status.leader.map(|(_, term)| term),
            "leading": status.leading,
            "transactions": {
                "blue": counts.blue,
                "red": counts.red,
                "conflicts": counts.conflicts,
                "refused": counts.refused,
                "unavailable": counts.unavailable,
                "received": counts.received,
                "ordered": counts.ordered,
            },
            "rights": {
                "local": counts.rights_local,
                "given": counts.rights_given,
                "short": counts.rights_short,
                "gifts": counts.gifts,
            },
            "waiting": status.waiting,
            "refusing": status.refusing,
            "filling": status.filling,
            "verification": self.verification(&status),
            "archive": self.archive.as_ref().map(|archive| json!({
                "behind": archive.behind.load(Ordering::Relaxed),
                "error": *archive.error.lock(),
            })),
            "peers": peers,
            "members": status.members.iter().map(Report::member).collect::<Vec<_>>(),
            "last_refused_connection": self.transport.last_refused(),
        })
    }

    fn digest(&self) -> Result<Value, String> {
        let snapshot = self.shared.reader.snapshot();
        let digest = snapshot.digest().map_err(|e| e.to_string())?;
        let name =
            |id| snapshot.schema().tables.get(id).map_or_else(|| id.to_string(), |table| table.name.clone());
        let tables: serde_json::Map<String, Value> =
            digest.tables.iter().map(|(id, hash)| (name(id), json!(format!("{hash:016x}")))).collect();
        Ok(json!({
            "site": self.name,
            "frontier": self.frontier(snapshot.frontier()),
            "total": format!("{:016x}", digest.total),
            "tables": tables,
        }))
    }

    fn verify(&self) -> Result<Value, String> {
        let (reply, number) = Reply::new();
        self.courier.insist(Input::Verify(reply));
        let number = number.blocking_recv().map_err(|_| "the site is stopping".to_string())?;
        Ok(json!({ "site": self.name, "round": number }))
    }

    fn image(&self) -> Result<Moment, String> {
        let (reply, moment) = Reply::new();
        self.courier.insist(Input::Image(reply));
        moment.blocking_recv().map_err(|_| "the site is stopping".to_string())
    }

    fn members(&self, request: MemberRequest) -> MemberAnswer {
        let (reply, answer) = Reply::new();
        self.courier.insist(Input::Member { request, reply });
        answer.blocking_recv().unwrap_or_else(|_| Err("the site is stopping; it may still happen".into()))
    }

    fn metrics(&self) -> String {
        let status = self.shared.status();
        let counts = status.counts;
        let mut page = Page::default();
        let plain: [(&str, &str, &str, u64); 18] = [
            (
                "gemini_commits_total{color=\"blue\"}",
                "counter",
                "Transactions of this site's sessions",
                counts.blue,
            ),
            ("gemini_commits_total{color=\"red\"}", "counter", "", counts.red),
            (
                "gemini_conflicts_total",
                "counter",
                "Submissions refused by a local conflict",
                counts.conflicts,
            ),
            ("gemini_refused_total", "counter", "Red transactions refused by the order", counts.refused),
            (
                "gemini_unavailable_total",
                "counter",
                "Red transactions never sent, or unknown",
                counts.unavailable,
            ),
            ("gemini_received_total", "counter", "Blue transactions of other sites applied", counts.received),
            ("gemini_ordered_total", "counter", "Red entries applied or passed over", counts.ordered),
            (
                "gemini_spends_total{rights=\"local\"}",
                "counter",
                "Transactions that spend of bounded counters: with rights of the site's own, or after others had given some, or failed",
                counts.rights_local,
            ),
            ("gemini_spends_total{rights=\"given\"}", "counter", "", counts.rights_given),
            ("gemini_spends_total{rights=\"short\"}", "counter", "", counts.rights_short),
            (
                "gemini_gifts_total",
                "counter",
                "Transactions that give rights to sites that ask",
                counts.gifts,
            ),
            ("gemini_bad_frames_total", "counter", "Frames from peers that made no sense", counts.bad_frames),
            (
                "gemini_waiting",
                "gauge",
                "Received transactions that wait for what they depend on",
                status.waiting,
            ),
            (
                "gemini_divergent_rows",
                "gauge",
                "Rows found that this site and another do not hold alike",
                status.verification.findings.len() as u64,
            ),
            (
                "gemini_compared_rows_total",
                "counter",
                "Rows compared with other sites",
                status.verification.compared,
            ),
            ("gemini_red_index", "gauge", "The last red index applied", status.frontier.red),
            ("gemini_leading", "gauge", "Whether this site leads the red order", u64::from(status.leading)),
            (
                "gemini_refusing",
                "gauge",
                "Whether this site refuses transactions",
                u64::from(status.refusing.is_some()),
            ),
        ];
        for (name, kind, help, value) in plain {
            page.put(name, kind, help, value);
        }
        for (rule, n) in self.shared.red_rules() {
            let name = format!("gemini_red_reasons_total{{reason=\"{}\"}}", rule.name());
            page.put(&name, "counter", "Red submissions by reason; one may have several", n);
        }
        if let Some(archive) = &self.archive {
            let behind = archive.behind.load(Ordering::Relaxed);
            page.put("gemini_archive_behind", "gauge", "Full log segments that are not archived yet", behind);
            let failing = u64::from(archive.error.lock().is_some());
            page.put(
                "gemini_archive_failing",
                "gauge",
                "Whether the last copy to the archive failed",
                failing,
            );
        }
        for (site, n) in status.frontier.blues() {
            let name = format!("gemini_blue_applied{{origin=\"{}\"}}", self.label(site));
            page.put(&name, "gauge", "Blue transactions applied, by origin", n);
        }
        for link in self.transport.peers() {
            let seen = status.peers.get(&link.site).cloned().unwrap_or_default();
            let micros =
                link.round_trip.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
            let each: [(&str, &str, &str, u64); 9] = [
                ("gemini_peer_up", "gauge", "Whether the direct link is up", u64::from(link.link.is_some())),
                (
                    "gemini_peer_reachable",
                    "gauge",
                    "Whether it is reached, also through others",
                    u64::from(seen.reachable),
                ),
                (
                    "gemini_peer_behind",
                    "gauge",
                    "Transactions applied here that it has not confirmed",
                    seen.behind,
                ),
                (
                    "gemini_peer_cut_off",
                    "gauge",
                    "Whether it lacks what this site no longer has in its log",
                    u64::from(seen.cut_off),
                ),
                ("gemini_peer_round_trip_microseconds", "gauge", "Smoothed round trip", micros),
                ("gemini_peer_queued_bytes", "gauge", "What waits to be sent", link.queued_bytes as u64),
                ("gemini_peer_sent_bytes_total", "counter", "Bytes sent", link.bytes_sent),
                ("gemini_peer_received_bytes_total", "counter", "Bytes received", link.bytes_received),
                ("gemini_peer_links_total", "counter", "Links made", link.links),
            ];
            for (name, kind, help, value) in each {
                page.put(&format!("{name}{{peer=\"{}\"}}", link.name), kind, help, value);
            }
        }
        page.finish()
    }

    fn health(&self) -> Result<(), String> {
        match self.shared.status().refusing {
            Some(reason) => Err(reason),
            None => Ok(()),
        }
    }
}

/// Prometheus text: the samples of one metric stand together under its help and type.
#[derive(Default)]
struct Page(std::collections::BTreeMap<String, String>);

impl Page {
    fn put(&mut self, sample: &str, kind: &str, help: &str, value: u64) {
        let metric = sample.split('{').next().unwrap_or(sample);
        let text = self
            .0
            .entry(metric.to_owned())
            .or_insert_with(|| format!("# HELP {metric} {help}\n# TYPE {metric} {kind}\n"));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{sample} {value}");
    }

    fn finish(self) -> String {
        self.0.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_metric_stand_together() {
        let mut page = Page::default();
        page.put("b{x=\"1\"}", "gauge", "Bees", 1);
        page.put("a", "counter", "Ays", 5);
        page.put("b{x=\"2\"}", "gauge", "Bees", 2);
        let expected = "# HELP a Ays\n# TYPE a counter\na 5\n# HELP b Bees\n# TYPE b gauge\nb{x=\"1\"} 1\nb{x=\"2\"} 2\n";
        assert_eq!(page.finish(), expected);
    }
}
