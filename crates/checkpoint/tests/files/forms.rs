//! Every form that is read.

use rrm_checkpoint::{Dtype, Finding, Form, Numbers, Wanted, Weight, import};
use rrm_spec::{NetworkSpec, Normalization};

use crate::{file, imported, narrow_dnn, numbers, refused, told};

/// Files whose numbers are those of `bare.pt`.
const SAME: [&str; 9] = [
    "bare_legacy.pt",
    "protocol4.pt",
    "madry.pt",
    "madry_legacy.pt",
    "sequential.pt",
    "parameters.pt",
    "strided.pt",
    "strided_legacy.pt",
    "double.pt",
];

#[test]
fn every_form_gives_the_same_network() {
    let bare = imported("bare.pt");
    assert_eq!(
        bare.network,
        NetworkSpec {
            arch: "dnn/16".parse().unwrap(),
            channels: 3,
            classes: 10,
            normalization: Normalization::Cifar10Madry,
            representation_width: 32,
            temperature: 1.0,
        }
    );
    assert_eq!(bare.tensors.len(), 16);
    for name in SAME {
        let other = imported(name);
        assert_eq!((&other.network, &other.tensors), (&bare.network, &bare.tensors), "{name}");
        assert_eq!(other.to_artifact(), bare.to_artifact(), "{name}");
    }
}

#[test]
fn an_artifact_is_read_back_bit_for_bit_and_knows_what_it_is() {
    let mut bare = imported("bare.pt");
    bare.network.temperature = 30.0;
    let artifact = bare.to_artifact();
    let again = import(&artifact, &Wanted::default()).unwrap();
    assert_eq!((&again.network, &again.tensors), (&bare.network, &bare.tensors));
    assert_eq!(again.to_artifact(), artifact);
    let other = Wanted { arch: Some("dnn/8".parse().unwrap()), ..Wanted::default() };
    assert!(refused(&artifact, &other).to_string().contains("dnn/16, for dnn/8"));
}

#[test]
fn a_checkpoint_of_madrylab_tells_its_normalisation_and_what_was_left_out() {
    for name in ["madry.pt", "madry_legacy.pt"] {
        let wanted = Wanted { normalization: None, ..narrow_dnn() };
        let imported = import(&file(name), &wanted).unwrap();
        assert_eq!(imported.network.normalization, Normalization::Cifar10Madry);
        assert!(imported.findings.contains(&Finding::NormalizationFound(Normalization::Cifar10Madry)));
        assert!(imported.findings.contains(&Finding::Duplicates(16)));
        let passed_over = ["optimizer", "schedule", "epoch", "amp", "adv_prec1"].map(str::to_owned).to_vec();
        assert!(imported.findings.contains(&Finding::PassedOver(passed_over)), "{:?}", told(&imported));
        let prefixes = told(&imported).into_iter().find(|text| text.starts_with("stripped")).unwrap();
        assert!(prefixes.contains("module.model") && prefixes.contains("module.attacker.model"), "{prefixes}");
    }
}

#[test]
fn constants_that_contradict_the_file_are_a_warning() {
    let wanted = Wanted { normalization: Some(Normalization::Cifar10Fast), ..narrow_dnn() };
    for name in ["madry.pt", "sequential.pt"] {
        let imported = import(&file(name), &wanted).unwrap();
        assert_eq!(imported.network.normalization, Normalization::Cifar10Fast);
        let warning = imported.findings.iter().find(|finding| finding.weight() == Weight::Warning).unwrap();
        assert!(warning.to_string().contains("0.2023 0.1994 0.2010 (cifar10-madry)"), "{warning}");
    }
}

#[test]
fn a_file_without_constants_needs_to_be_told() {
    let error = refused(&file("bare.pt"), &Wanted { normalization: None, ..narrow_dnn() });
    assert!(error.to_string().contains("the file does not say it"), "{error}");
    assert!(error.next_step().unwrap().contains("--normalization with one of cifar10-madry, cifar10-fast"));
    assert!(refused(&file("madry.pt"), &Wanted::default()).next_step().unwrap().contains("--arch"));
}

#[test]
fn the_temperature_of_a_file_of_others_is_the_callers_and_it_is_told() {
    let at = |bytes: &[u8], temperature| import(bytes, &Wanted { temperature, ..narrow_dnn() }).unwrap();
    let (usual, soft) = (at(&file("bare.pt"), None), at(&file("bare.pt"), Some(30.0)));
    assert_eq!(soft.network, NetworkSpec { temperature: 30.0, ..usual.network.clone() });
    assert_eq!(soft.tensors, usual.tensors);
    assert!(soft.findings.contains(&Finding::TemperatureTold(30.0)), "{:?}", told(&soft));
    assert!(!told(&usual).iter().any(|text| text.contains("logits")), "{:?}", told(&usual));

    let again = at(&soft.to_artifact(), Some(30.0));
    assert_eq!((&again.network, again.findings.contains(&Finding::TemperatureFound(30.0))), (&soft.network, true));
    let error = refused(&soft.to_artifact(), &Wanted { temperature: Some(1.0), ..Wanted::default() });
    assert!(error.to_string().contains("logits by 1: the file says that they are divided by 30"), "{error}");
    assert!(error.next_step().unwrap().contains("--temperature 30"));
    refused(&file("bare.pt"), &Wanted { temperature: Some(0.0), ..narrow_dnn() });
}

#[test]
fn narrow_numbers_are_widened_without_loss_and_told() {
    let exact = imported("bare.pt");
    for (name, from, error) in [
        ("half.pt", Dtype::F16, 1e-3),
        ("brain_legacy.pt", Dtype::Bf16, 8e-3),
        ("brain.safetensors", Dtype::Bf16, 8e-3),
    ] {
        let narrow = imported(name);
        assert!(
            narrow.findings.contains(&Finding::Converted { from, tensors: 16, rounded: 0 }),
            "{name}: {:?}",
            told(&narrow)
        );
        for (key, _, _) in &exact.tensors {
            let pairs = numbers(&exact, key).iter().zip(numbers(&narrow, key));
            assert!(pairs.clone().any(|(a, b)| a != b), "{name}: {key} was rounded");
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < error * 0.5), "{name}: {key}");
        }
    }
    let (legacy, safe) = (imported("brain_legacy.pt"), imported("brain.safetensors"));
    assert_eq!(legacy.tensors, safe.tensors);
    assert_eq!(
        (legacy.findings[0].clone(), safe.findings[0].clone()),
        (Finding::Form(Form::TorchLegacy), Finding::Form(Form::Safetensors))
    );
}

#[test]
fn wide_numbers_are_rounded_with_a_warning() {
    let double = imported("double.pt");
    let converted = double.findings.iter().find(|finding| matches!(finding, Finding::Converted { .. })).unwrap();
    assert!(matches!(converted, Finding::Converted { from: Dtype::F64, tensors: 16, rounded: 1.. }), "{converted}");
    assert_eq!(converted.weight(), Weight::Warning);
}

#[test]
fn the_authors_files_show_that_they_were_trained_in_fp16() {
    let authors = imported("authors_legacy.pt");
    assert!(authors.findings.contains(&Finding::HalfPrecisionValues), "{:?}", told(&authors));
    assert_eq!(authors.tensors, imported("half.pt").tensors);
    assert!(!imported("bare.pt").findings.contains(&Finding::HalfPrecisionValues));
    let left_out = ["optimizer_state_dict", "epoch", "best_acc", "time_per_epoch"].map(str::to_owned).to_vec();
    assert!(authors.findings.contains(&Finding::PassedOver(left_out)));
}

/// Of fast_adversarial's network, whose files do not say how it normalises.
fn narrow_preact() -> Wanted {
    Wanted {
        arch: Some("preactresnet18/16".parse().unwrap()),
        normalization: Some(Normalization::Cifar10Fast),
        classes: Some(10),
        temperature: None,
    }
}

#[test]
fn a_bare_state_dict_of_fast_adversarial_is_read_and_what_its_keys_do_not_tell_is_told() {
    let imported = import(&file("fast_adversarial_legacy.pt"), &narrow_preact()).unwrap();
    assert_eq!((imported.tensors.len(), imported.network.representation_width), (107, 32));
    assert!(imported.findings.contains(&Finding::ShortcutsOfInputs), "{:?}", told(&imported));
    // Convolutions and the linear layer; batch-norms are f32.
    let converted = Finding::Converted { from: Dtype::F16, tensors: 22, rounded: 0 };
    assert!(imported.findings.contains(&converted), "{:?}", told(&imported));
    assert_eq!(imported.findings.iter().map(Finding::weight).max(), Some(Weight::Note));
    assert_eq!(numbers(&imported, "layer2.0.shortcut.0.weight").len(), 8 * 4);
    let again = import(&imported.to_artifact(), &Wanted::default()).unwrap();
    assert_eq!((&again.network, &again.tensors), (&imported.network, &imported.tensors));
    assert!(!again.findings.contains(&Finding::ShortcutsOfInputs), "{:?}", told(&again));
}

#[test]
fn a_network_with_the_wrapper_of_data_parallel_is_the_same_network() {
    let bare = import(&file("fast_adversarial_legacy.pt"), &narrow_preact()).unwrap();
    let bytes = bare.to_artifact();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let wrapped = tensors.tensors().into_iter().map(|(key, tensor)| (format!("module.{key}"), tensor));
    let wrapped = import(&safetensors::serialize(wrapped, None).unwrap(), &narrow_preact()).unwrap();
    assert_eq!((&wrapped.network, &wrapped.tensors), (&bare.network, &bare.tensors));
    assert!(wrapped.findings.contains(&Finding::Prefixes(vec!["module".to_owned()])), "{:?}", told(&wrapped));
}

#[test]
fn networks_that_differ_by_the_order_of_their_norms_are_told_apart() {
    let post = Wanted { arch: Some("resnet18/16".parse().unwrap()), ..narrow_preact() };
    let error = refused(&file("fast_adversarial_legacy.pt"), &post);
    assert!(error.to_string().ends_with("the tensors are those of preactresnet18/16"), "{error}");
    assert_eq!(error.next_step().unwrap(), "import it with --arch preactresnet18/16");
}

#[test]
fn a_network_whose_tensors_share_a_single_number_is_read() {
    let arch = Some("resnet50/16".parse().unwrap());
    let imported = import(&file("one_number.pt"), &Wanted { arch, ..narrow_dnn() }).unwrap();
    assert_eq!(imported.network.representation_width, 128);
    assert!(imported.findings.contains(&Finding::NoAdapter { representation: 128 }), "{:?}", told(&imported));
    let reals = imported.tensors.iter().filter_map(|(_, _, numbers)| match numbers {
        Numbers::Real(numbers) => Some(numbers),
        Numbers::Whole(counts) => {
            assert_eq!(*counts, [3]);
            None
        }
    });
    assert!(reals.flatten().all(|&number| number == 0.5));
}

#[test]
fn another_architecture_is_refused_with_all_differences_and_the_right_name() {
    let error = refused(&file("one_number.pt"), &narrow_dnn());
    let text = error.to_string();
    assert!(text.contains("`features.0.weight` [2, 3, 3, 3] is missing"), "{text}");
    assert!(text.contains("and ") && text.contains(" more"), "{text}");
    assert!(text.ends_with("the tensors are those of resnet50/16"), "{text}");
    assert_eq!(error.next_step().unwrap(), "import it with --arch resnet50/16");
    let wide = Wanted { arch: Some("dnn".parse().unwrap()), ..narrow_dnn() };
    let text = refused(&file("bare.pt"), &wide).to_string();
    assert!(text.contains("`features.0.weight` is [2, 3, 3, 3] instead of [32, 3, 3, 3]"), "{text}");
    let classes = Wanted { classes: Some(100), ..narrow_dnn() };
    assert!(refused(&file("bare.pt"), &classes).to_string().contains("it knows 10 classes instead of 100"));
}

#[test]
fn what_is_no_state_dict_is_refused_with_what_it_is() {
    let text = refused(&file("whole_module.pt"), &narrow_dnn()).to_string();
    assert!(
        text.contains("whole module of class torch.nn.modules.container.Sequential, whose code is not run"),
        "{text}"
    );
    let text = refused(&file("no_network.pt"), &narrow_dnn()).to_string();
    assert!(text.contains("it has only (epoch: a number, accuracy: a number)"), "{text}");
    for (bytes, found) in [
        (&b""[..], "an empty file"),
        (b"\x1f\x8b\x08", "a gzip file"),
        (b"\x80\x04K\x01.", "a pickle of something else"),
    ] {
        assert!(refused(bytes, &narrow_dnn()).to_string().contains(found));
    }
}
