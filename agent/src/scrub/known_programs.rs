//! Which programs take secrets, and how: by a flag, by position, or behind a word that names them. A row more is all that
//! another program needs.

/// The argument of a program's flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// A secret, as the next word: `-w secret`.
    NextWord,
    /// A secret, attached: `-psecret`; alone it asks for one.
    Attached,
    /// A secret, either way.
    Either,
    /// `user:password`, with this separator, either way.
    User(char),
}

/// A flag of programs. One that begins with `/` is compared without case.
pub(super) struct Flag {
    pub(super) programs: &'static [&'static str],
    /// Only after the word `login`.
    pub(super) after_login: bool,
    pub(super) flag: &'static str,
    pub(super) takes: Takes,
}

const fn flag(programs: &'static [&'static str], flag: &'static str, takes: Takes) -> Flag {
    Flag { programs, after_login: false, flag, takes }
}

const MYSQL: &[&str] = &[
    "mysql",
    "mysqldump",
    "mysqladmin",
    "mysqlimport",
    "mysqlcheck",
    "mysqlshow",
    "mysqlslap",
    "mysqlbinlog",
    "mysqlpump",
    "mysqlsh",
    "mariadb",
    "mariadb-dump",
    "mariadb-admin",
    "mariadb-import",
    "mariadb-check",
    "mariadb-binlog",
    "mycli",
];
/// Programs whose `-p` is a password. Of most others it is a port, a path or a pid.
const SMALL_P: &[&str] = &[
    "sshpass",
    "mongo",
    "mongosh",
    "mongodump",
    "mongorestore",
    "mongoexport",
    "mongoimport",
    "rabbitmqadmin",
    "cqlsh",
    "useradd",
    "usermod",
    "rdesktop",
    "hydra",
    "medusa",
    "crackmapexec",
    "netexec",
    "nxc",
    "evil-winrm",
    "psexec",
    "psexec64",
    "pskill",
    "pslist",
    "psservice",
    "psloglist",
    "psinfo",
    "psshutdown",
    "psgetsid",
    "certutil",
    "dsadd",
    "dsget",
    "dsmod",
    "dsmove",
    "dsquery",
    "dsrm",
];
/// Programs whose `-P` is a password.
const LARGE_P: &[&str] = &[
    "zip",
    "unzip",
    "sqlcmd",
    "bcp",
    "osql",
    "isql",
    "tsql",
    "fisql",
    "bsqldb",
    "freebcp",
    "sqsh",
    "ipmitool",
    "mosquitto_pub",
    "mosquitto_sub",
    "ssh-keygen",
];
const LDAP: &[&str] = &[
    "ldapsearch",
    "ldapadd",
    "ldapmodify",
    "ldapdelete",
    "ldapmodrdn",
    "ldapcompare",
    "ldapexop",
    "ldapwhoami",
    "ldappasswd",
    "kadmin",
];
const SAMBA: &[&str] = &[
    "smbclient",
    "rpcclient",
    "smbget",
    "smbcacls",
    "smbcquotas",
    "smbtree",
    "winexe",
    "wmic",
    "net",
    "samba-tool",
];
const SNMP: &[&str] =
    &["snmpget", "snmpgetnext", "snmpwalk", "snmpbulkwalk", "snmpbulkget", "snmpset", "snmptrap"];
/// Programs of Windows that ask another machine.
const REMOTE: &[&str] = &[
    "schtasks",
    "signtool",
    "tasklist",
    "taskkill",
    "systeminfo",
    "driverquery",
    "getmac",
    "openfiles",
    "eventcreate",
    "gpresult",
    "waitfor",
    "takeown",
];

/// The flags.
pub(super) const FLAGS: &[Flag] = &[
    flag(MYSQL, "-p", Takes::Attached),
    flag(SMALL_P, "-p", Takes::Either),
    // `docker run -p 8080:80` publishes a port.
    Flag {
        programs: &[
            "docker", "podman", "nerdctl", "buildah", "skopeo", "helm", "oras", "crane", "az", "oc", "cf",
        ],
        after_login: true,
        flag: "-p",
        takes: Takes::Either,
    },
    flag(&["7z", "7za", "7zr", "7zz", "rar", "unrar"], "-p", Takes::Attached),
    flag(&["rar", "unrar"], "-hp", Takes::Attached),
    flag(LARGE_P, "-P", Takes::Either),
    flag(&["ssh-keygen"], "-N", Takes::Either),
    flag(&["redis-cli", "memcached-cli"], "-a", Takes::NextWord),
    flag(LDAP, "-w", Takes::Either),
    flag(&["ldappasswd"], "-s", Takes::Either),
    flag(&["ldappasswd"], "-a", Takes::Either),
    flag(SNMP, "-c", Takes::Either),
    flag(SNMP, "-A", Takes::Either),
    flag(SNMP, "-X", Takes::Either),
    flag(&["openssl"], "-k", Takes::NextWord),
    flag(&["openssl"], "-K", Takes::NextWord),
    flag(&["openssl"], "pass:", Takes::Attached),
    flag(&["influx"], "-t", Takes::NextWord),
    flag(&["swaks"], "-ap", Takes::NextWord),
    flag(&["sendemail"], "-xp", Takes::NextWord),
    flag(&["curl"], "-u", Takes::User(':')),
    flag(&["curl"], "--user", Takes::User(':')),
    flag(&["curl"], "-U", Takes::User(':')),
    flag(&["curl"], "--proxy-user", Takes::User(':')),
    flag(&["curl"], "-E", Takes::User(':')),
    flag(&["curl"], "--cert", Takes::User(':')),
    flag(&["http", "https", "httpie", "xh"], "-a", Takes::User(':')),
    flag(&["http", "https", "httpie", "xh"], "--auth", Takes::User(':')),
    flag(&["lftp", "lftpget"], "-u", Takes::User(',')),
    flag(SAMBA, "-U", Takes::User('%')),
    flag(SAMBA, "--user", Takes::User('%')),
    // Of Windows.
    flag(REMOTE, "/rp", Takes::NextWord),
    flag(REMOTE, "/p", Takes::NextWord),
    flag(&["netdom"], "/pd:", Takes::Attached),
    flag(&["netdom"], "/po:", Takes::Attached),
    flag(&["winrs"], "-p:", Takes::Attached),
    flag(&["winrs"], "/p:", Takes::Attached),
    flag(&["xfreerdp", "xfreerdp3", "wlfreerdp", "sdl-freerdp", "wfreerdp"], "/p:", Takes::Attached),
];

/// Programs that take a secret by its position: behind a word and so many words that are no flags, of which the program is
/// one where the word is empty.
pub(super) const POSITIONS: &[(&[&str], &str, usize)] = &[
    (NET, "user", 1),
    (&["rasdial"], "", 3),
    (&["isql"], "", 3),
    (&["wpa_passphrase"], "", 2),
    (&["rabbitmqctl"], "add_user", 1),
    (&["rabbitmqctl"], "change_password", 1),
    (&["openssl"], "passwd", 0),
    (&["vault"], "login", 0),
    (&["redis-cli"], "auth", 0),
];
/// Programs that take a secret behind the bare word that names it: `nmcli … password x`, `aws configure set … x`.
pub(super) const BARE_NAMES: &[&str] =
    &["nmcli", "mysqladmin", "mariadb-admin", "aws", "npm", "yarn", "pnpm", "redis-cli", "netsh", "ipmitool"];
/// Programs that take `user/password@database`.
pub(super) const ORACLE: &[&str] = &["sqlplus", "sqlplusw", "sqlldr", "expdp", "impdp", "rman"];
/// Programs that take `user:password@host` without a scheme.
pub(super) const SCHEMELESS: &[&str] = &["curl", "wget", "ftp", "lftp"];
pub(super) const NET: &[&str] = &["net", "net1"];
pub(super) const HTPASSWD: &[&str] = &["htpasswd"];
pub(super) const POWERSHELL: &[&str] = &["powershell", "pwsh", "powershell_ise"];
/// Programs of Windows with neither flags nor positions here that take values as words of their own: `password= x`.
pub(super) const SPACED_VALUES: &[&str] = &["sc"];
/// Programs that run another one: the first word that is no flag.
pub(super) const WRAPPERS: &[&str] = &["sshpass"];
