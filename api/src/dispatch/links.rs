//! The links of a message: to its moment, and to the forms that acknowledge and silence.

use crate::{
    notify::{Kind, Message, Notification, Subject},
    url::Url,
    view::travel::host_at,
};

/// Makes links to this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Links {
    /// Where people reach it, without a slash at the end.
    address: String,
}

impl Links {
    pub(super) fn to(address: &str) -> Self {
        Self { address: address.trim_end_matches('/').to_owned() }
    }

    /// The notification of a message with its links. What is over needs neither an acknowledgement nor a silence.
    pub(super) fn onto(&self, message: Message) -> Notification {
        let Message { mut notification, alerts } = message;
        let rule = notification.rule.clone();
        let (moment, mut about) = match &notification.subject {
            Subject::Host(host) => (host_at(host, notification.at_us), vec![("host", host.clone())]),
            _ => (Url::alerts().with(&[("rule", &rule)]), vec![("rule", rule.clone())]),
        };
        notification.link = self.absolute(&moment);
        if matches!(notification.kind, Kind::Resolved | Kind::Test) {
            return notification;
        }
        let acknowledge = match alerts.as_slice() {
            [alert] => Url::acknowledge_alerts().with(&[("alert", alert)]),
            _ => Url::acknowledge_alerts().with(&about),
        };
        notification.acknowledge = self.absolute(&acknowledge);
        if alerts.len() == 1 && about.first().is_some_and(|(name, _)| *name == "host") {
            about.push(("rule", rule));
        }
        notification.silence = self.absolute(&Url::new_silence().with(&about));
        notification
    }

    fn absolute(&self, url: &Url) -> String {
        format!("{}{url}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::Notification;

    #[test]
    fn a_message_leads_to_its_moment_and_to_the_forms_for_what_it_stands_for() {
        let links = Links::to("https://ps.example.com/");
        let host = Subject::Host("web 1".to_owned());
        let hosts = Subject::Hosts { count: 12, first: Vec::new() };
        for (kind, subject, alerts, expected) in [
            (
                Kind::Raised,
                host.clone(),
                vec!["a1"],
                [
                    "/hosts/web%201?at=",
                    "/alerts/acknowledge?alert=a1",
                    "/alerts/silences/new?host=web+1&rule=memory",
                ],
            ),
            (
                Kind::Escalated,
                host.clone(),
                vec!["a1", "a2"],
                ["/hosts/web%201?at=", "/alerts/acknowledge?host=web+1", "/alerts/silences/new?host=web+1"],
            ),
            (
                Kind::Raised,
                hosts,
                vec!["a1", "a2"],
                [
                    "/alerts?rule=memory",
                    "/alerts/acknowledge?rule=memory",
                    "/alerts/silences/new?rule=memory",
                ],
            ),
            (Kind::Resolved, host, vec!["a1"], ["/hosts/web%201?at=", "", ""]),
        ] {
            let mut notification =
                Notification::test("id".to_owned(), "", String::new(), 1_795_874_400_000_000);
            (notification.kind, notification.subject, notification.rule) =
                (kind, subject, "memory".to_owned());
            let alerts = alerts.into_iter().map(str::to_owned).collect();
            let said = links.onto(Message { notification, alerts }).cleaned();
            for (link, expected) in [said.link, said.acknowledge, said.silence].iter().zip(expected) {
                let is_there = link.is_empty() == expected.is_empty();
                assert!(
                    is_there
                        && link.starts_with(&format!(
                            "{}{expected}",
                            if link.is_empty() { "" } else { "https://ps.example.com" }
                        )),
                    "{link}"
                );
            }
        }
    }
}
