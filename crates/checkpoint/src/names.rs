//! From the names in a file to the network's own keys.

/// Wrappers whose names come before the network's own: PyTorch's `DataParallel` (`module`), MadryLab's (`model`, `attacker`), the
/// authors' (`net`), `torch.compile` (`_orig_mod`), and what others call theirs.
const WRAPPERS: [&str; 8] = ["module", "model", "net", "network", "attacker", "backbone", "_orig_mod", "basic_net"];

/// What a name in a file stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The network's tensor of that key.
    Tensor(String),
    /// The normaliser's means.
    Mean,
    /// The normaliser's standard deviations.
    Deviation,
}

/// A name taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) meaning: Meaning,
    /// The wrappers that were stripped, joined by dots; empty where there were none.
    pub(crate) prefix: String,
    /// Whether it is the copy that MadryLab's attacker keeps.
    pub(crate) is_copy: bool,
}

pub(crate) fn parse(name: &str) -> Parsed {
    let parts: Vec<&str> = name.split('.').collect();
    // The last part is the tensor's own name, never a wrapper's.
    let wraps = |part: &&&str| {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number || WRAPPERS.contains(*part)
    };
    let stripped = parts[..parts.len() - 1].iter().take_while(wraps).count();
    let (prefix, rest) = parts.split_at(stripped);
    let is_copy = prefix.contains(&"attacker");
    Parsed { meaning: meaning(rest), prefix: prefix.join("."), is_copy }
}

fn meaning(rest: &[&str]) -> Meaning {
    let own = match rest {
        ["normalizer" | "normalize" | "normalization" | "norm" | "preprocess", own] => own,
        [own] => own,
        _ => return Meaning::Tensor(rest.join(".")),
    };
    match *own {
        "new_mean" | "mean" | "mu" => Meaning::Mean,
        "new_std" | "std" | "sigma" => Meaning::Deviation,
        _ => Meaning::Tensor(rest.join(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_stripped_whatever_their_order() {
        for (name, prefix, is_copy) in [
            ("layer1.0.conv1.weight", "", false),
            ("module.layer1.0.conv1.weight", "module", false),
            ("module.model.layer1.0.conv1.weight", "module.model", false),
            ("module.attacker.model.layer1.0.conv1.weight", "module.attacker.model", true),
            ("attacker.model.layer1.0.conv1.weight", "attacker.model", true),
            ("net.layer1.0.conv1.weight", "net", false),
            ("_orig_mod.module.1.layer1.0.conv1.weight", "_orig_mod.module.1", false),
        ] {
            let meaning = Meaning::Tensor("layer1.0.conv1.weight".to_owned());
            assert_eq!(parse(name), Parsed { meaning, prefix: prefix.to_owned(), is_copy }, "{name}");
        }
    }

    #[test]
    fn normalisers_are_known_by_every_name() {
        for name in ["module.normalizer.new_mean", "module.attacker.normalize.new_mean", "mu", "model.mu", "0.mean"] {
            assert_eq!(parse(name).meaning, Meaning::Mean, "{name}");
        }
        for name in
            ["normalizer.new_std", "module.attacker.normalize.new_std", "sigma", "normalize.std", "module.0.std"]
        {
            assert_eq!(parse(name).meaning, Meaning::Deviation, "{name}");
        }
    }

    #[test]
    fn no_part_of_the_networks_own_keys_is_a_wrapper() {
        for key in [
            "features.0.weight",
            "classifier.6.bias",
            "last_layer.weight",
            "linear.weight",
            "fc.bias",
            "bn1.running_mean",
        ] {
            assert_eq!(parse(key).meaning, Meaning::Tensor(key.to_owned()), "{key}");
        }
        assert_eq!(parse("weight").meaning, Meaning::Tensor("weight".to_owned()));
        assert_eq!(parse("").meaning, Meaning::Tensor(String::new()));
        assert_eq!(parse("module.0").meaning, Meaning::Tensor("0".to_owned()));
    }
}
