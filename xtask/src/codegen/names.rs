//! Turns names of the models into Rust names. Wire names are never changed here: they are written beside the Rust name.

/// Units and half-acronyms that would otherwise fall apart (`memory_mi_b`).
const WHOLE_WORDS: [(&str, &str); 5] =
    [("MiB", "Mib"), ("GiB", "Gib"), ("VCpu", "Vcpu"), ("vCpu", "vcpu"), ("s3files", "s3Files")];

const KEYWORDS: [&str; 20] = [
    "as", "box", "break", "const", "enum", "fn", "for", "if", "impl", "in", "loop", "match", "mod", "move", "ref",
    "return", "static", "type", "use", "where",
];

/// `taskDefinitionArn` becomes `task_definition_arn`; never a raw identifier.
pub fn snake(name: &str) -> String {
    let mut name = name.to_owned();
    for (from, to) in WHOLE_WORDS {
        name = name.replace(from, to);
    }
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (index, letter) in letters.iter().enumerate() {
        if !letter.is_ascii_alphanumeric() {
            out.push('_');
            continue;
        }
        let before = index.checked_sub(1).map(|at| letters[at]);
        let after = letters.get(index + 1);
        let starts_word = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
            });
        if starts_word {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// A member's or operation's Rust identifier, raw when it is a keyword.
pub fn identifier(name: &str) -> String {
    let plain = snake(name);
    if KEYWORDS.contains(&plain.as_str()) { format!("r#{plain}") } else { plain }
}

/// `PENDING_CREATION`, `container-instance` and `distinctInstance` become variants of an enum.
pub fn variant(value: &str) -> String {
    let mut out = String::new();
    for word in value.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let joins_digits = word.starts_with(|letter: char| letter.is_ascii_digit())
            && out.ends_with(|letter: char| letter.is_ascii_digit());
        if joins_digits {
            out.push('_');
        }
        let shouts = !word.contains(|letter: char| letter.is_ascii_lowercase());
        let (head, tail) = word.split_at(1);
        out.push_str(&head.to_ascii_uppercase());
        out.push_str(&if shouts { tail.to_ascii_lowercase() } else { tail.to_owned() });
    }
    if out.starts_with(|letter: char| letter.is_ascii_digit()) {
        out.insert(0, 'N');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members() {
        for (wire, rust) in [
            ("taskDefinitionArn", "task_definition_arn"),
            ("enableECSManagedTags", "enable_ecs_managed_tags"),
            ("managedEBSVolume", "managed_ebs_volume"),
            ("memoryGiBPerVCpu", "memory_gib_per_vcpu"),
            ("vCpuCount", "vcpu_count"),
            ("bindIP", "bind_ip"),
            ("ipv6Address", "ipv6_address"),
            ("s3BucketName", "s3_bucket_name"),
            ("totalLocalStorageGB", "total_local_storage_gb"),
            ("VpcIds", "vpc_ids"),
        ] {
            assert_eq!(snake(wire), rust);
        }
        assert_eq!(identifier("type"), "r#type");
    }

    #[test]
    fn variants() {
        for (wire, rust) in [
            ("PENDING_CREATION", "PendingCreation"),
            ("container-instance", "ContainerInstance"),
            ("distinctInstance", "DistinctInstance"),
            ("X86_64", "X86_64"),
            ("awsvpc", "Awsvpc"),
            ("EC2", "Ec2"),
            ("4x", "N4x"),
        ] {
            assert_eq!(variant(wire), rust);
        }
    }
}
