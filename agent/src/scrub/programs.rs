//! Programs whose short flags take a secret.

/// The argument of a program's flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// A secret, as the next word: `-w secret`.
    NextWord,
    /// A secret, attached: `-psecret`; alone it asks for one.
    Attached,
    /// A secret, either way.
    Either,
    /// `user:password`, either way.
    UserAndPassword,
}

/// The meaning of a word for the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing special.
    None,
    /// The next word is a secret.
    SecretFollows,
    /// The next word is `user:password`.
    UserAndPasswordFollows,
    /// A secret is attached after this many bytes.
    SecretAttached(usize),
    /// `user:password` is attached.
    UserAndPasswordAttached,
}

/// Programs, their flag, and what it takes.
const FLAGS: [(&[&str], &str, Takes); 12] = [
    (
        &[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mysqlcheck",
            "mysqlshow",
            "mysqlslap",
            "mysqlbinlog",
            "mysqlpump",
            "mariadb",
            "mariadb-dump",
            "mariadb-admin",
            "mariadb-import",
            "mariadb-check",
            "mycli",
        ],
        "-p",
        Takes::Attached,
    ),
    (
        &["sshpass", "mongo", "mongosh", "mongodump", "mongorestore", "docker", "podman", "skopeo", "lftp"],
        "-p",
        Takes::Either,
    ),
    (&["7z", "7za", "7zr", "rar", "unrar"], "-p", Takes::Attached),
    (&["zip", "unzip", "sqlcmd", "bcp"], "-P", Takes::Either),
    (&["redis-cli", "memcached-cli"], "-a", Takes::NextWord),
    (&["ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd"], "-w", Takes::Either),
    (&["ldappasswd"], "-s", Takes::Either),
    (&["curl"], "-u", Takes::UserAndPassword),
    (&["curl"], "--user", Takes::UserAndPassword),
    (&["curl"], "--proxy-user", Takes::UserAndPassword),
    (&["http", "https", "httpie"], "-a", Takes::UserAndPassword),
    (&["rabbitmqadmin"], "-p", Takes::Either),
];

/// The program that the words belong to.
#[derive(Debug, Clone, Default)]
pub(super) struct Program(Vec<(&'static str, Takes)>);

impl Program {
    /// The program with this name or path.
    pub(super) fn named(word: &str) -> Self {
        let name = base_name(word);
        let flags = FLAGS.iter().filter(|(programs, _, _)| programs.contains(&name));
        Self(flags.map(|(_, flag, takes)| (*flag, *takes)).collect())
    }

    /// The meaning of this word for the program.
    pub(super) fn meaning(&self, word: &str) -> Meaning {
        let found = self.0.iter().find_map(|(flag, takes)| Some((*flag, *takes, word.strip_prefix(flag)?)));
        match found {
            Some((_, Takes::NextWord | Takes::Either, "")) => Meaning::SecretFollows,
            Some((_, Takes::UserAndPassword, "")) => Meaning::UserAndPasswordFollows,
            Some((flag, Takes::Attached | Takes::Either, attached)) if !attached.is_empty() => {
                Meaning::SecretAttached(flag.len())
            }
            Some((flag, Takes::UserAndPassword, attached))
                if !flag.starts_with("--") || attached.starts_with('=') =>
            {
                Meaning::UserAndPasswordAttached
            }
            _ => Meaning::None,
        }
    }
}

/// Whether a word names one of the programs.
pub(super) fn is_known(word: &str) -> bool {
    let name = base_name(word);
    FLAGS.iter().any(|(programs, _, _)| programs.contains(&name))
}

fn base_name(word: &str) -> &str {
    let name = word.rsplit(['/', '\\']).next().unwrap_or(word);
    name.strip_suffix(".exe").unwrap_or(name)
}
