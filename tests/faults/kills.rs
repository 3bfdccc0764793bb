//! Nodes, database and bus are killed, again and again and two at a time, while people send into several conversations and
//! more people read. Invariant: nothing that was acknowledged is lost or doubled, and every history is whole.

use crate::{
    ALONE,
    cluster::{Bus, Cluster},
    plan::{self, Victim, blows},
    talk::{Crowd, Progress, Report, talk_through},
};
use std::collections::BTreeMap;
use tokio::time::sleep;

async fn killed_by_seed(bus: Bus, crowd: &Crowd, kills: usize) {
    let _alone = ALONE.lock().await;
    let Some(cluster) = Cluster::start(bus, 10.min(crowd.senders)).await else { return };
    let seed = plan::seed("kills");
    let schedule = blows(seed, kills, crowd.sends(), cluster.nodes.len(), bus == Bus::Redis);
    let mut fallen: BTreeMap<&str, usize> = BTreeMap::new();
    let calamity = async |progress: &Progress| {
        for blow in &schedule {
            progress.reach(blow.after).await;
            for victim in &blow.victims {
                cluster.kill(*victim);
                *fallen.entry(name(*victim)).or_default() += 1;
            }
            sleep(blow.down).await;
            for victim in &blow.victims {
                cluster.revive(*victim).await;
            }
        }
    };
    let (tokens, others) = (cluster.tokens(), cluster.others());
    let report = talk_through(&cluster.nodes, &tokens, &others, crowd, seed, calamity).await;
    assert_eq!(fallen.values().sum::<usize>(), kills);
    tell(bus, seed, crowd, &fallen, &report);
    assert!(report.is_sound() && report.acknowledged == crowd.sends() && report.changes > 0, "seed {seed}");
    cluster.stop().await;
}

fn name(victim: Victim) -> &'static str {
    match victim {
        Victim::Node(_) => "of nodes",
        Victim::Postgres => "of PostgreSQL",
        Victim::Redis => "of Redis",
    }
}

fn tell(bus: Bus, seed: u64, crowd: &Crowd, fallen: &BTreeMap<&str, usize>, report: &Report) {
    println!("two nodes, bus {bus:?}, seed {seed}, {} conversations", crowd.talks);
    let line = |what: &str, value: String| println!("  {what:<28} {value:>10}");
    line("sends acknowledged", report.acknowledged.to_string());
    line("asked again", report.retried.to_string());
    line("reactions, edits, deletions", report.changes.to_string());
    for (victim, count) in fallen {
        line(&format!("kill -9 {victim}"), count.to_string());
    }
    line("longest without an answer", format!("{:.2} s", report.outage.as_secs_f64()));
    line("subscribers", (crowd.talks * crowd.readers).to_string());
    line("events delivered", report.delivered.to_string());
    line("resumes", report.resumes.to_string());
    line("lost", report.lost.to_string());
    line("doubled", report.doubled.to_string());
    line("numbers missing", report.holes.to_string());
    line("histories that differ", report.torn.to_string());
    line("took", format!("{:.0} s", report.took.as_secs_f64()));
    line("verdict", if report.is_sound() { "sound" } else { "BROKEN" }.to_owned());
}

/// With Redis as the bus where the machine has one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_database_and_redis_are_killed_while_people_talk() {
    let talks = plan::size("TALKS", 2, 8);
    let crowd = Crowd {
        talks,
        senders: plan::size("SENDERS", 4, 8),
        readers: plan::size("SUBSCRIBERS", 12, 200) / talks,
        messages: plan::size("SENDS", 400, 100_000) / talks,
    };
    killed_by_seed(Bus::Redis, &crowd, plan::size("KILLS", 3, 50)).await;
}

/// Two nodes that need nothing but PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_and_their_only_database_are_killed_while_people_talk() {
    let messages = if plan::whole() { 1500 } else { 120 };
    let crowd = Crowd { talks: 2, senders: 4, readers: 4, messages };
    killed_by_seed(Bus::Notify, &crowd, if plan::whole() { 8 } else { 2 }).await;
}
