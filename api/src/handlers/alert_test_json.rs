//! `/api/v1/alerts/test`: what a rule would have said in the past.

use std::{collections::BTreeSet, time::Duration};

use fleetps_ingestor::{alerts::Change, history::Episode};
use fleetps_nats::units;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    alerts::{USUAL_RANGE, try_rule},
    alerts_json::{CulpritRow, culprits},
    json::AboutPast,
};
use crate::{
    answer::{Answer, Time, shape},
    extract::{JsonBody, JsonShape},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    view::alerts::Tried,
};

/// A rule that is to be tried, as it is sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestBody {
    /// The rule, as in cpu > 90% for 10m over program.
    sentence: String,
    /// The groups whose hosts it is tried on; all hosts without it.
    #[serde(default)]
    groups: Option<BTreeSet<String>>,
    /// How far back it is tried, as in 6h; at most 7d, and 1d without it.
    #[serde(default = "usual_range", with = "units::duration")]
    #[schemars(with = "String")]
    range: Duration,
}

fn usual_range() -> Duration {
    USUAL_RANGE
}

impl JsonShape for TestBody {
    const NAME: &'static str = "test";
    const EXAMPLE: &'static str = "{\"sentence\": \"cpu > 90% for 10m\", \"range\": \"1d\"}";
}

/// What a rule would have said in the past.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AlertTest {
    sentence: String,
    from: Time,
    to: Time,
    /// Hosts that were evaluated.
    hosts: u64,
    /// Snapshots of them.
    snapshots: u64,
    /// How often it would have told somebody.
    told: u64,
    /// The same with other times that it must last.
    others: Vec<OtherLasting>,
    /// How many episodes there are.
    total: u64,
    /// The times in which an alert would have been open; the first 1,000.
    episodes: Vec<EpisodeRow>,
}

/// How often a rule would have told somebody that must last for another time.
#[derive(Serialize, JsonSchema)]
struct OtherLasting {
    /// As in a rule: `for 5m`, `3 of 5`.
    lasting: String,
    told: u64,
}

/// A time in which an alert would have been open.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AlertEpisode")]
struct EpisodeRow {
    host: String,
    instance: String,
    from: Time,
    /// Null where it was open at the end.
    to: Option<Time>,
    /// Why it ended.
    #[schemars(extend("enum" = ends()))]
    end: Option<&'static str>,
    /// The value that raised it.
    value: Option<f64>,
    culprits: Vec<CulpritRow>,
}

fn ends() -> Vec<Option<&'static str>> {
    let ends = Change::ALL.into_iter().filter(|change| change.is_end());
    ends.map(|change| Some(change.id())).chain([None]).collect()
}

shape!(AlertTest);

/// `POST /api/v1/alerts/test`: what a rule would have said in the past.
pub(crate) async fn test(
    scoped: ScopedFleet,
    JsonBody(TestBody { sentence, groups, range }): JsonBody<TestBody>,
) -> Result<Answer<AboutPast<AlertTest>>, Refusal> {
    let tried = try_rule(&scoped, &sentence, groups, range).await?;
    let episode = |episode: &Episode| EpisodeRow {
        host: episode.host.to_string(),
        instance: episode.key.to_string(),
        from: Time(episode.from_us),
        to: episode.end.map(|(at_us, _)| Time(at_us)),
        end: episode.end.map(|(_, change)| change.id()),
        value: episode.value,
        culprits: culprits(&episode.culprits),
    };
    let Tried { test, lastings, span } = tried;
    let others = lastings.iter().zip(&test.told).skip(1);
    let answer = AlertTest {
        sentence,
        from: Time(span.from_us),
        to: Time(span.to_us),
        hosts: test.hosts,
        snapshots: test.snapshots,
        told: test.told.first().copied().unwrap_or_default(),
        others: others
            .map(|(lasting, told)| OtherLasting { lasting: lasting.to_string(), told: *told })
            .collect(),
        total: test.episode_count,
        episodes: test.episodes.iter().map(episode).collect(),
    };
    Ok(Answer::of(&AboutPast::new(&scoped, test.resolution, answer)))
}
