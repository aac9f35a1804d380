//! Which numbers a container's process runs under: `user[:group]` looked up in the image's own /etc/passwd and
//! /etc/group. Text in, numbers out; never asks the host's name services.

/// A resolved user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Further groups.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Why a user cannot be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UserError {
    #[error("unable to find user {0}: no matching entries in passwd file")]
    User(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    Group(String),
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { name, uid, gid, home: fields.nth(1).unwrap_or("/") })
    })
}

/// Name, number, members.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some((name, gid, fields.next().unwrap_or("")))
    })
}

/// Resolves `wanted` (empty: root) as Docker does: a name wins over a number, an unknown number is taken as it is.
pub(crate) fn resolve(wanted: &str, passwd: &str, group: &str) -> Result<User, UserError> {
    let (user, wanted_group) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let account = accounts(passwd)
        .find(|account| account.name == user)
        .or_else(|| accounts(passwd).find(|account| user.parse() == Ok(account.uid)));
    let (uid, own_gid, home, name) = match &account {
        Some(account) => (account.uid, account.gid, account.home, account.name),
        None => {
            let uid = user.parse().map_err(|_| UserError::User(user.to_owned()))?;
            (uid, 0, "/", user)
        }
    };
    let gid = match wanted_group.filter(|group| !group.is_empty()) {
        Some(wanted) => groups(group)
            .find(|(name, ..)| *name == wanted)
            .map(|(_, gid, _)| gid)
            .or_else(|| wanted.parse().ok())
            .ok_or_else(|| UserError::Group(wanted.to_owned()))?,
        None => own_gid,
    };
    // As Docker: an explicit group replaces the user's further groups.
    let further = if wanted_group.is_some_and(|group| !group.is_empty()) {
        Vec::new()
    } else {
        groups(group)
            .filter(|(_, _, members)| members.split(',').any(|member| member == name))
            .map(|(_, gid, _)| gid)
            .filter(|further| *further != gid)
            .collect()
    };
    let home = if home.is_empty() { "/" } else { home };
    Ok(User { uid, gid, groups: further, home: home.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/false\n1000:x:7:8::/odd:\nbroken\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nlogs:x:40:web,other\nweb:x:50:nobody\n";

    #[test]
    fn names_numbers_and_groups() {
        let user = |wanted| resolve(wanted, PASSWD, GROUP).expect(wanted);
        assert_eq!(user(""), User { uid: 0, gid: 0, groups: vec![], home: "/root".into() });
        assert_eq!(user("web"), User { uid: 33, gid: 34, groups: vec![40], home: "/srv".into() });
        assert_eq!(user("33").gid, 34);
        assert_eq!(user("web:logs"), User { uid: 33, gid: 40, groups: vec![], home: "/srv".into() });
        assert_eq!(user("5:6"), User { uid: 5, gid: 6, groups: vec![], home: "/".into() });
        assert_eq!(user("1000").uid, 7, "a name made of digits is a name");
    }

    #[test]
    fn unknown_names_fail() {
        assert_eq!(resolve("nobody", PASSWD, GROUP), Err(UserError::User("nobody".into())));
        assert_eq!(resolve("web:none", PASSWD, GROUP), Err(UserError::Group("none".into())));
        assert_eq!(resolve("web", "", ""), Err(UserError::User("web".into())));
        assert_eq!(resolve("-1", "", ""), Err(UserError::User("-1".into())));
    }
}
