//! The rule of polkit that lets the helper's user do what the host's file allows, and nothing else. The helper asks its policy
//! first; polkit is the second wall.

use std::fmt::Write;

use crate::policy::{PROTECTED_UNITS, Policy};

/// The rule, to be written to a file such as `/etc/polkit-1/rules.d/50-fleetps-control.rules`. Patterns contain no character
/// that ends a regular expression of JavaScript.
#[must_use]
pub fn polkit_rule(policy: &Policy, user: &str) -> String {
    let mut rules = String::new();
    for rule in policy.units.iter().filter(|_| policy.is_enabled) {
        let verbs: Vec<_> = rule.actions.iter().map(|action| format!("\"{action}\"")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(rules, "  [[{}], /{}/],", verbs.join(", "), rule.pattern.to_regex());
    }
    let protected: Vec<_> = PROTECTED_UNITS.into_iter().map(regex).collect();
    let protected = protected.join("|");
    // As JSON: a user's name in quotes, whatever is in it.
    let user = serde_json::Value::from(user);
    format!(
        "// Written by `fleetps-agent control polkit`. Run it again when [control] units of agent.toml has changed.
// Needs polkit 0.106 or later: before that (Debian 11), rules do not know units and verbs.
var fleetpsAllowed = [
{rules}];
polkit.addRule(function (action, subject) {{
  if (action.id != \"org.freedesktop.systemd1.manage-units\" || subject.user != {user}) {{
    return polkit.Result.NOT_HANDLED;
  }}
  var unit = action.lookup(\"unit\"), verb = action.lookup(\"verb\");
  if (!unit || !verb || /^({protected})$/.test(unit)) {{
    return polkit.Result.NO;
  }}
  var isAllowed = fleetpsAllowed.some(function (rule) {{
    return rule[0].indexOf(verb) >= 0 && rule[1].test(unit);
  }});
  return isAllowed ? polkit.Result.YES : polkit.Result.NO;
}});
"
    )
}

/// A pattern of [`PROTECTED_UNITS`] as a regular expression.
fn regex(pattern: &str) -> String {
    pattern.replace('.', "\\.").replace('-', "\\-").replace('*', ".*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_names_the_user_the_verbs_and_the_units() {
        let units = ["restart,reload nginx.service", "* app-*.service"].map(|rule| rule.parse().unwrap());
        let policy = Policy { is_enabled: true, units: units.into(), signals: Vec::new() };
        let rule = polkit_rule(&policy, "fleetps-control");
        for line in [
            r#"  [["restart", "reload"], /^nginx\.service$/],"#,
            r#"  [["start", "stop", "restart", "reload"], /^app\-.*\.service$/],"#,
        ] {
            assert!(rule.contains(line), "{rule}");
        }
        assert!(rule.contains(r#"subject.user != "fleetps-control")"#), "{rule}");
        assert!(rule.contains(r"/^(fleetps.*|nats\-server.*|dbus.*|systemd\-.*|init\.scope|"), "{rule}");
        let off = polkit_rule(&Policy { is_enabled: false, ..policy }, "x\"y");
        assert!(off.contains("var fleetpsAllowed = [\n];") && off.contains(r#"!= "x\"y")"#), "{off}");
    }
}
