"""Each law of the conformance suite, proved by a mutation that it catches.

``python -m tests.mutations`` copies ``src``, breaks the copy in one place at a time, and runs the laws that must fail. It
ends with 1 if a law passes on a mutant. ``python -m tests.mutations --table`` prints the list that CONTRIBUTING.md keeps.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "prodpointer"


@dataclass(frozen=True)
class Mutation:
    """One break: ``old`` becomes ``new`` in ``file``, and every one of ``laws`` must notice.

    ``only`` names the worlds in which it can be noticed, where that is not every one: ``"2"``, ``"before aliases"``.
    """

    what: str
    file: str
    old: str
    new: str
    laws: tuple[str, ...]
    only: str = ""


MUTATIONS = (
    Mutation(
        "an alias that is set is not read",
        "pointers/alias.py",
        "return reply.aliases.get(self._alias)",
        "return None",
        ("test_a_pointer_names_what_was_set_last",),
    ),
    Mutation(
        "a new pointer names version 1",
        "pointers/memory.py",
        "self._live: int | None = None",
        "self._live: int | None = 1",
        ("test_a_pointer_never_set_names_nothing",),
    ),
    Mutation(
        "clearing nothing is an error",
        "pointers/memory.py",
        "        self._live = None",
        "        assert self._live\n        self._live = None",
        ("test_clearing_nothing_is_no_error",),
    ),
    Mutation(
        "clearing an alias does nothing",
        "pointers/alias.py",
        "self._registry.delete_alias(self._model, self._alias)",
        "pass",
        ("test_a_cleared_pointer_names_nothing", "test_withdrawing_leaves_nothing_live"),
    ),
    Mutation(
        "memory takes any version",
        "pointers/memory.py",
        "version not in self._versions",
        "version < 0",
        ("test_a_pointer_names_no_version_that_does_not_exist",),
    ),
    Mutation(
        "clearing a stage of a missing model is silent",
        "pointers/stage.py",
        "self._registry.model(self._model)  # a search",
        "pass  # a search",
        ("test_a_pointer_of_no_model_is_refused",),
    ),
    Mutation(
        "a verb has another parameter name",
        "pointers/mirrored.py",
        "def set(self, version: int)",
        "def set(self, number: int)",
        ("test_an_implementation_has_the_signatures_of_the_protocol",),
    ),
    Mutation(
        "a stage is set without archiving the others",
        "pointers/stage.py",
        "archive_others=True",
        "archive_others=False",
        (
            "test_promoting_an_older_version_goes_back",
            "test_of_two_in_production_the_highest_is_live",
            "test_staging_is_the_stage_staging",
        ),
    ),
    Mutation(
        "both moves the alias alone",
        "pointers/mirrored.py",
        "        self._stage.set(version)\n",
        "",
        (
            "test_two_pointers_move_together",
            "test_both_makes_both",
            "test_a_stage_alone_also_gets_the_alias_on_mlflow_3",
        ),
    ),
    Mutation(
        "registering promotes",
        "registered_model.py",
        "        return self._registry.create_version(\n            self.name, source.source, run_id=run_id, model_id=source.model_id, tags=own\n        )",
        "        made = self._registry.create_version(\n            self.name, source.source, run_id=run_id, model_id=source.model_id, tags=own\n        )\n"
        "        self.promote(made)\n        return made",
        ("test_a_registered_version_is_not_live",),
    ),
    Mutation(
        "promote does not write",
        "registered_model.py",
        "pointer_for(pointers, seen, self._registry, self.name).set(number)\n        self._read_back(number, pointers)",
        "pass",
        (
            "test_a_promoted_version_is_live",
            "test_the_status_shows_what_is_live",
            "test_a_promotion_after_a_withdrawal_moves_the_same_pointers",
        ),
    ),
    Mutation(
        "the move forgets why",
        "registered_model.py",
        "            reason=reason,\n            alias",
        "            alias",
        ("test_a_promotion_says_what_it_did", "test_withdrawing_leaves_nothing_live"),
    ),
    Mutation(
        "what is live is promoted again",
        "registered_model.py",
        "if self._names_already(seen, number, pointers, versions):",
        "if False:",
        ("test_promoting_what_is_live_moves_nothing", "test_promoting_what_is_live_costs_two_requests"),
    ),
    Mutation(
        "text is no version",
        "names.py",
        "if isinstance(version, str) and _VERSION.fullmatch(version):",
        "if False:",
        ("test_a_version_may_be_given_as_mlflow_gives_it",),
    ),
    Mutation(
        "zero and less are versions",
        "names.py",
        "if number is None or not 1 <= number < _FIRST_TOO_LARGE:",
        "if number is None:",
        ("test_what_is_no_version_is_refused",),
    ),
    Mutation(
        "expectations are not compared",
        "registered_model.py",
        "if expected is NOT_GIVEN:",
        "if expected is not None:",
        ("test_a_promotion_that_expects_otherwise_is_refused",),
    ),
    Mutation(
        "an expectation is always refused",
        "registered_model.py",
        "if seen.live != wanted:",
        "if True:",
        ("test_a_promotion_that_expects_what_is_live_goes_on",),
    ),
    Mutation(
        "a missing version is another error",
        "mlflow_border/registry.py",
        "        no_version = VersionNotFound(",
        "        no_version = RegistryError(",
        ("test_a_version_that_does_not_exist_is_refused", "test_a_deleted_version_is_refused"),
    ),
    Mutation(
        "a version half registered goes live",
        "registered_model.py",
        'if candidate.status != "READY":',
        "if False:",
        ("test_a_version_that_is_not_ready_is_refused",),
    ),
    Mutation(
        "a withdrawal is not recorded",
        "registered_model.py",
        "        if seen.live is not None:\n            move = replace",
        "        if False:\n            move = replace",
        ("test_a_withdrawal_is_the_last_event", "test_a_promotion_after_a_withdrawal_restores_both"),
    ),
    Mutation(
        "a withdrawn alias is forgotten",
        "journal.py",
        "    return found[-1] if found else None",
        "    return None",
        ("test_a_withdrawn_alias_comes_back_as_an_alias",),
        only="2",  # on MLflow 3 a model with neither gets an alias anyway
    ),
    Mutation(
        "withdrawing nothing is recorded",
        "registered_model.py",
        "        if not pointers:\n            return move\n        if seen.live is not None:",
        "        if True:",
        ("test_withdrawing_nothing_moves_nothing",),
    ),
    Mutation(
        "the selection gives no reason",
        "registered_model.py",
        "            reason=reason,\n            client_version",
        "            reason='',\n            client_version",
        ("test_the_selection_has_a_reason", "test_the_models_tag_overrides"),
    ),
    Mutation(
        "a missing model is another error",
        "mlflow_border/registry.py",
        "        return ModelNotFound(",
        "        return RegistryError(",
        (
            "test_a_model_that_does_not_exist_is_no_empty_answer",
            "test_an_empty_registry_holds_no_such_model",
            "test_a_border_without_alias_methods_uses_rest",
        ),
    ),
    Mutation(
        "a model without versions is no model",
        "mlflow_border/entities.py",
        "    newest = [model_version(version) for version in model.latest_versions or []]",
        "    newest = [model_version(version) for version in model.latest_versions]\n    newest[0]",
        ("test_a_model_without_versions_has_nothing_live",),
    ),
    Mutation(
        "a model with neither gets a stage everywhere",
        "selection.py",
        "if not self.capabilities.stages or (self.capabilities.is_three and self.capabilities.aliases):",
        "if not self.capabilities.stages:",
        ("test_a_model_with_neither_gets_what_its_registry_is_made_for",),
    ),
    Mutation(
        "stages are not read where there is no alias",
        "selection.py",
        "return self.stage if alias is None else alias",
        "return alias",
        ("test_a_stage_alone_is_live_on_either_major", "test_the_stage_counts_where_the_alias_dangles"),
    ),
    Mutation(
        "the stage-only warning comes each time",
        "notices.py",
        "        _told_stage_only.add(key)\n",
        "",
        ("test_a_stage_alone_is_live_on_either_major",),
    ),
    Mutation(
        "a stage alone stays alone on MLflow 3",
        "selection.py",
        'if wanted == {"stage"} and self.capabilities.is_three and self.capabilities.aliases:',
        "if False:",
        (
            "test_a_stage_alone_also_gets_the_alias_on_mlflow_3",
            "test_promoting_the_staged_only_version_again_adds_the_alias",
        ),
    ),
    Mutation(
        "an alias alone gets a stage",
        "selection.py",
        '        pointers = tuple(pointer for pointer in ("alias", "stage") if pointer in wanted)\n',
        '        pointers = ("alias", "stage")\n',
        ("test_an_alias_alone_never_gets_a_stage", "test_a_withdrawn_alias_comes_back_as_an_alias"),
    ),
    Mutation(
        "the stage goes before the alias",
        "selection.py",
        "return self.stage if alias is None else alias",
        "return alias if self.stage is None else self.stage",
        ("test_of_two_that_differ_the_alias_is_live", "test_promoting_the_live_version_mends_a_drift"),
    ),
    Mutation(
        "a drift is not said",
        "notices.py",
        'if seen.requested in ("auto", "both") and seen.drifted:',
        "if False:",
        ("test_of_two_that_differ_the_alias_is_live",),
    ),
    Mutation(
        "a dangling alias counts",
        "selection.py",
        "alias = None if self.dangling else self.alias",
        "alias = self.alias",
        (
            "test_the_stage_counts_where_the_alias_dangles",
            "test_an_alias_whose_version_was_deleted_counts_as_unset",
        ),
        only="2",  # from 3.17.0 on an alias goes with its version
    ),
    Mutation(
        "aliases are taken to be everywhere",
        "selection.py",
        'if "alias" in pointers and not self.capabilities.aliases:',
        "if False:",
        ("test_an_impossible_pointer_is_refused_by_name", "test_an_alias_without_a_stage_is_refused"),
        only="before aliases",
    ),
    Mutation(
        "a stage is cleared of its highest version alone",
        "pointers/stage.py",
        "if version.stage == self._stage:",
        "if version.version == self.get():",
        ("test_withdrawing_two_in_production_leaves_none",),
    ),
    Mutation(
        "an override reads the other pointer too",
        "selection.py",
        '        if self.requested == "alias":\n            return alias\n        if self.requested == "stage":\n            return self.stage\n',
        "",
        ("test_an_override_reads_its_own_pointer",),
    ),
    Mutation(
        "an override leaves the other pointer behind",
        "selection.py",
        "if pointer not in pointers and current is not None and current != version:",
        "if False:",
        ("test_an_override_leaves_no_other_pointer_behind",),
    ),
    Mutation(
        "a dangling alias is left behind",
        "selection.py",
        'named = {"alias": None if self.dangling else self.alias, "stage": self.stage}',
        'named = {"alias": self.alias, "stage": self.stage}',
        ("test_an_override_may_leave_a_dangling_alias",),
        only="2",
    ),
    Mutation(
        "the drop-in promotes another pointer",
        "drop_in.py",
        "return connect(name, alias=alias).promote(version)",
        "return connect(name, alias='staging').promote(version)",
        ("test_the_page_that_projects_wrote_works", "test_another_pointer_has_its_own_live_version"),
    ),
    Mutation(
        "a model never registered is an error to load",
        "drop_in.py",
        "    except ModelNotFound:\n        return None",
        "    except ModelNotFound:\n        raise",
        ("test_nothing_live_is_none",),
    ),
    Mutation(
        "a promotion in a model never registered is silent",
        "mlflow_border/registry.py",
        "        return ModelNotFound(",
        "        return RegistryError(",
        ("test_promoting_in_a_model_never_registered_is_an_error",),
    ),
    Mutation(
        "what MLflow adds to a store counts",
        "artifacts.py",
        '    if "MLmodel" in found:',
        "    if False:",
        ("test_a_model_logged_with_a_flavor_loads",),
    ),
    Mutation(
        "another server's logged model is named by its id",
        "registration.py",
        "    if not store.beside_registry:  # the registry",
        "    if False:  # the registry",
        ("test_with_two_servers_a_flavor_model_is_named_by_its_run",),
        only="3",
    ),
    Mutation(
        "a path may hold anything",
        "registration.py",
        "    if _NOT_IN_URIS.search(path):",
        "    if False:",
        ("test_a_path_that_no_uri_can_carry_makes_nothing",),
    ),
    Mutation(
        "a missing library is nobody's error",
        "mlflow_border/translation.py",
        "    except ImportError as error:\n        raise RegistryUnsupported(",
        "    except ImportError as error:\n        raise RegistryError(",
        ("test_a_store_whose_library_is_missing_is_said_to_be",),
    ),
    Mutation(
        "doctor tells no limits",
        "diagnosis.py",
        "    problems = _limits(registry, client, found)",
        "    problems: tuple[str, ...] = ()",
        (
            "test_a_server_before_aliases_is_said_to_have_none",
            "test_what_an_older_server_cannot_do_for_this_client_is_told",
            "test_a_server_that_does_not_tell_its_version_is_said_to",
        ),
    ),
    Mutation(
        "doctor tells the client's version for the registry's",
        "diagnosis.py",
        "return Diagnosis(where, str(client), found.shown_version,",
        "return Diagnosis(where, str(client), None,",
        ("test_a_server_of_the_clients_version_is_told_as_it_is",),
    ),
    Mutation(
        "doctor asks for the version alone",
        "diagnosis.py",
        "        _check_that_the_api_answers(registry)\n",
        "",
        ("test_a_server_that_refuses_all_but_its_version_is_found_out",),
    ),
    Mutation(
        "doctor ends with 1 whatever it found",
        "diagnosis.py",
        "(str(error),), error.exit_code)",
        "(str(error),), 1)",
        ("test_a_registry_out_of_reach_is_a_finding",),
    ),
    Mutation(
        "a directory passes for a file",
        "registration.py",
        'if Path(local_path).is_dir() != (source.kind == "directory"):',
        "if False:",
        ("test_a_local_copy_of_another_kind_is_refused",),
    ),
    Mutation(
        "a model with a slash is never read",
        "registered_model.py",
        "            except ModelNotFound:\n                raise refusal from None",
        "            finally:\n                raise refusal from None",
        ("test_a_model_that_has_such_a_name_goes_on",),
        only="2",
    ),
    Mutation(
        "a gateway's answer is a page like any other",
        "detection.py",
        "        if status in (429, 502, 503, 504):",
        "        if False:",
        ("test_a_gateway_without_a_server_is_no_wrong_address",),
    ),
    Mutation(
        "a failing server is a page like any other",
        "detection.py",
        "    if status >= 500:",
        "    if False:",
        ("test_a_server_that_fails_is_no_wrong_address",),
    ),
    Mutation(
        "runs are looked for in MLflow's default",
        "mlflow_border/addresses.py",
        "    if chosen and not tracking_chosen and",
        "    if False and",
        ("test_a_registry_given_alone_makes_no_other_database",),
        only="3",  # MLflow 2 makes a directory mlruns there whatever it is told
    ),
    Mutation(
        "the selection forgets the withdrawal",
        "registered_model.py",
        "        return seen.moved(last.pointers if last else ())",
        "        return seen.moved()",
        ("test_a_promotion_after_a_withdrawal_restores_both",),
    ),
    Mutation(
        "the selection does not look for a withdrawal",
        "registered_model.py",
        "            if seen.unset:\n",
        "            if False:\n",
        ("test_a_promotion_after_a_withdrawal_restores_both",),
    ),
    Mutation(
        "an old withdrawal is remembered for ever",
        "registered_model.py",
        "last = journal.last_event(versions, self._rule.alias) if seen.unset else None",
        "last = journal.last_event(versions, self._rule.alias)",
        ("test_a_stage_taken_away_after_a_withdrawal_stays_away",),
    ),
    Mutation(
        "a deleted version is asked for twice",
        "mlflow_border/registry.py",
        "        except VersionNotFound:\n            return None",
        "        except VersionNotFound:\n            self.model(name)\n            return None",
        ("test_a_dangling_alias_costs_no_more",),
        only="2",
    ),
    Mutation(
        "the list of models is asked first",
        "connecting.py",
        "    can = capabilities(registry)\n    found = registry.names()",
        "    found = registry.names()\n    can = capabilities(registry)",
        ("test_a_list_of_models_asks_first_what_the_registry_is",),
    ),
    Mutation(
        "an empty list is believed",
        "connecting.py",
        "    if not found and registry.place is Place.SERVER and lists_nothing",
        "    if False and lists_nothing",
        ("test_an_empty_list_from_a_registry_of_unknown_age_is_not_believed",),
    ),
    Mutation(
        "a refused flavor model stays",
        "artifacts.py",
        "        yield path\n        if lasting",
        "        if lasting",
        ("test_a_refused_flavor_model_is_not_left_behind",),
    ),
    Mutation(
        "under both one pointer is enough",
        "registered_model.py",
        'incomplete = seen.requested == "both" and',
        "incomplete = False and",
        ("test_both_with_one_pointer_unset_disagrees",),
    ),
    Mutation(
        "the environment goes before the tag",
        "selection.py",
        '            (tags.get(POINTER_TAG), f"the model\'s tag {POINTER_TAG}"),\n',
        "",
        ("test_the_models_tag_overrides", "test_an_argument_goes_before_the_tag_and_the_tag_before_the_environment"),
    ),
    Mutation(
        "any word is a pointer",
        "selection.py",
        "    if value not in POINTERS:",
        "    if False:",
        ("test_an_override_that_is_no_pointer_is_refused",),
    ),
    Mutation(
        "aliases are read as they are spelled here",
        "selection.py",
        "if alias.lower() == rule.alias)",
        "if alias == rule.alias)",
        ("test_an_alias_set_by_others_is_moved_under_its_spelling", "test_two_spellings_at_once_are_an_error"),
    ),
    Mutation(
        "staging takes the live version",
        "registered_model.py",
        'candidate.stage == "Production":',
        'candidate.stage == "Nowhere":',
        ("test_staging_never_takes_the_live_version_out_of_production",),
    ),
    Mutation(
        "production refuses the staged version",
        "registered_model.py",
        'self._rule.stage == "Staging" and candidate.stage == "Production":',
        "candidate.stage:",
        ("test_the_staged_version_can_be_promoted",),
    ),
    Mutation(
        "stages= is not heeded",
        "names.py",
        "given = {key.lower(): stage for key, stage in (stages or {}).items()}",
        "given: dict[str, str] = {}",
        ("test_another_alias_can_stand_for_a_stage",),
    ),
    Mutation(
        "an alias without a stage is refused everywhere",
        "selection.py",
        '        if self.rule.stage is None:\n            return ("alias",)',
        '        if self.rule.stage is None:\n            return ("stage",)',
        ("test_an_alias_that_stands_for_no_stage_is_an_alias",),
    ),
    Mutation(
        "an alias without a stage is taken for Production",
        "selection.py",
        'if "stage" in pointers and self.rule.stage is None:',
        "if False:",
        ("test_an_override_to_a_stage_that_there_is_none_for_is_refused",),
    ),
    Mutation(
        "the digest is not compared",
        "artifacts.py",
        "    if actual != expected:",
        "    if False:",
        ("test_changed_bytes_are_never_deserialised", "test_an_added_file_is_noticed"),
    ),
    Mutation(
        "an artifact that is gone is another error",
        "mlflow_border/artifact_store.py",
        '        return ArtifactNotFound(\n            "There is no artifact there',
        '        return ProdpointerError(\n            "There is no artifact there',
        ("test_an_artifact_that_is_gone_is_said_to_be",),
    ),
    Mutation(
        "a version without a digest loads in silence",
        "registered_model.py",
        "            warn_unverified(self.name, version.version)",
        "            pass",
        ("test_a_version_registered_elsewhere_loads_with_a_warning",),
    ),
    Mutation(
        "runs:/ is left to MLflow",
        "mlflow_border/artifact_store.py",
        'if uri.startswith("runs:/"):',
        "if False:",
        ("test_a_source_written_as_a_runs_uri_loads",),
    ),
    Mutation(
        "logged models are not looked for",
        "mlflow_border/artifact_store.py",
        "            if model is not None:\n                return self.located(model.location)\n",
        "",
        ("test_a_flavor_model_registered_as_a_runs_uri_loads",),
        only="3",
    ),
    Mutation(
        "what MLflow cannot open is another error",
        "mlflow_border/registry.py",
        "other=RegistryUnsupported, invalid=RegistryUnsupported",
        "other=RegistryError",
        ("test_what_is_no_address_is_no_registry",),
    ),
    Mutation(
        "the caller's loader is not asked",
        "loaders.py",
        "chosen = loader or _loader_for(path, flavor)",
        "chosen = _loader_for(path, flavor)",
        ("test_the_callers_loader_gets_the_path",),
    ),
    Mutation(
        "a failing pickle is not explained",
        "loaders.py",
        'next_step=f"Registered with {_recorded(tags)}; here {_recorded(versions_here())}.",',
        "",
        ("test_a_pickle_that_raises_names_both_sides",),
    ),
    Mutation(
        "downloads stay",
        "artifacts.py",
        "        stack.callback(remove)\n",
        "",
        ("test_no_download_is_left_behind",),
    ),
    Mutation(
        "a pull copies the newest version",
        "registered_model.py",
        "        with downloaded(self._artifacts, self._location(version)) as path:\n            self._verify(version, path)\n            target",
        "        version = self.version(3)\n"
        "        with downloaded(self._artifacts, self._location(version)) as path:\n            self._verify(version, path)\n            target",
        ("test_a_pull_copies_the_live_artifact",),
    ),
    Mutation(
        "a pull replaces what is there",
        "registered_model.py",
        "if target.exists():",
        "if False:",
        ("test_a_pull_replaces_nothing",),
    ),
    Mutation(
        "a pull of nothing makes the directory",
        "registered_model.py",
        "        version = self.production()\n        if version is None:\n            return None\n        with downloaded(self._artifacts, self._location(version)) as path:\n            self._verify(version, path)\n            target",
        "        version = self.production()\n        Path(destination).mkdir(parents=True, exist_ok=True)\n        if version is None:\n            return None\n"
        "        with downloaded(self._artifacts, self._location(version)) as path:\n            self._verify(version, path)\n            target",
        ("test_a_pull_of_nothing_copies_nothing",),
    ),
    Mutation(
        "a model that exists already is an error",
        "mlflow_border/registry.py",
        'if error_code(error) not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):',
        "if True:",
        ("test_each_registration_makes_a_version",),
    ),
    Mutation(
        "the model is not made",
        "registered_model.py",
        "        self._registry.create_model(self.name)\n",
        "",
        ("test_the_first_registration_makes_the_model",),
    ),
    Mutation(
        "the source is another path of the run",
        "registration.py",
        'source = f"{run.artifact_uri}/{path}" if',
        "source = run.artifact_uri + '/elsewhere' if",
        (
            "test_a_file_and_a_directory_come_back_as_they_were",
            "test_plain_mlflow_can_download_a_registered_directory",
            "test_the_source_is_the_runs_artifact_itself",
        ),
    ),
    Mutation(
        "two servers are taken for one",
        "mlflow_border/artifact_store.py",
        "return self._tracking_uri == self._registry.addresses.registry_uri",
        "return True",
        ("test_with_two_servers_the_source_names_the_run",),
    ),
    Mutation(
        "the digest is MD5",
        "artifacts.py",
        "    digest = hashlib.sha256()\n",
        "    digest = hashlib.md5()\n",
        ("test_the_digest_of_a_file_is_its_sha256", "test_the_digest_of_a_directory_is_that_of_its_manifest"),
    ),
    Mutation(
        "a local copy is digested by its name",
        "registration.py",
        "return {DIGEST_TAG: sha256_of(Path(local_path))}",
        "return {DIGEST_TAG: Path(local_path).name}",
        ("test_a_local_copy_gives_the_same_digest",),
    ),
    Mutation(
        "a digest is recorded always",
        "registered_model.py",
        "        if digest:\n",
        "        if True:\n",
        ("test_no_digest_is_recorded_where_none_is_wanted",),
    ),
    Mutation(
        "the owner is the system's user",
        "registration.py",
        "    if named:\n        return named\n",
        "",
        ("test_a_version_says_where_it_comes_from",),
    ),
    Mutation(
        "the commit is the checkout's first",
        "registration.py",
        "commit = run.git_commit or _commit_here()",
        "commit = _commit_here() or 'none'",
        ("test_the_commit_is_the_runs_own",),
    ),
    Mutation(
        "the checkout's commit is not read",
        "registration.py",
        "or _commit_here()",
        "or None",
        ("test_the_commit_is_else_that_of_the_checkout",),
    ),
    Mutation(
        "datasets are not recorded",
        "registration.py",
        "if run.datasets:",
        "if False:",
        ("test_the_datasets_are_the_runs_own",),
    ),
    Mutation(
        "the model is made before the artifact is looked for",
        "registered_model.py",
        "        source = registration.find_source(self._artifacts, run_id, artifact_file)\n",
        "        self._registry.create_model(self.name)\n        source = registration.find_source(self._artifacts, run_id, artifact_file)\n",
        (
            "test_a_run_that_does_not_exist_makes_nothing",
            "test_an_artifact_that_does_not_exist_makes_nothing",
            "test_a_digest_or_tag_that_is_none_makes_nothing",
            "test_a_model_of_another_run_is_refused",
        ),
    ),
    Mutation(
        "any name is made",
        "names.py",
        'if "/" in name or ":" in name:',
        "if False:",
        ("test_a_model_name_that_new_mlflow_cannot_read_is_not_made",),
        only="2",  # MLflow 3.11.1 and later refuse it themselves
    ),
    Mutation(
        "a quote in a name is not heeded",
        "mlflow_border/registry.py",
        'quote = \'"\' if "\'" in name else "\'"',
        'quote = "\'"',
        ("test_an_odd_name_works_throughout",),
    ),
    Mutation(
        "flavor models are not loaded by MLflow",
        "loaders.py",
        'if (path / "MLmodel").is_file():',
        "if False:",
        ("test_a_model_logged_with_a_flavor_loads", "test_a_logged_model_is_registered_by_its_uri"),
    ),
    Mutation(
        "a file store is a registry",
        "mlflow_border/opening.py",
        "if place_of(found.registry_uri) is Place.FILES:",
        "if False:",
        ("test_a_plain_file_store_is_refused",),
    ),
    Mutation(
        "MLflow's default is a choice",
        "mlflow_border/addresses.py",
        "if not chosen and not _exists(registry):",
        "if False:",
        ("test_nothing_configured_is_said",),
    ),
    Mutation(
        "the environment is not read",
        "mlflow_border/addresses.py",
        "tracking = tracking_uri or mlflow.get_tracking_uri()",
        "tracking = tracking_uri or 'sqlite:///elsewhere.db'",
        ("test_the_environment_configures",),
    ),
    Mutation(
        "what the environment names was not chosen",
        "mlflow_border/addresses.py",
        "tracking_chosen = bool(tracking_uri or is_tracking_uri_set())",
        "tracking_chosen = bool(tracking_uri)",
        ("test_a_database_named_by_the_environment_is_made",),
    ),
    Mutation(
        "a missing database is made whatever was said",
        "mlflow_border/database.py",
        "    if empty and not create:",
        "    if False:",
        ("test_no_database_is_made_where_that_is_not_wanted",),
    ),
    Mutation(
        "any revision will do",
        "mlflow_border/database.py",
        "if empty or found == expected:",
        "if True:",
        ("test_a_database_of_another_mlflow_is_not_touched", "test_an_older_database_is_upgraded_only_when_told"),
    ),
    Mutation(
        "no connection is another error",
        "mlflow_border/translation.py",
        "        if _is_unreachable(error):",
        "        if False:",
        (
            "test_a_dead_server_is_said_to_be_within_the_timeout",
            "test_a_hanging_server_is_said_to_be_within_the_timeout",
            "test_a_host_that_does_not_exist_is_said_to_be_unreachable",
            "test_a_gateway_without_a_server_is_an_unavailable_registry",
            "test_a_registry_that_failed_is_asked_again",
        ),
    ),
    Mutation(
        "the control question is not asked",
        "detection.py",
        'if _code(text) != "RESOURCE_DOES_NOT_EXIST":',
        "if False:",
        ("test_a_wrong_path_is_no_old_server", "test_another_web_server_is_no_registry"),
    ),
    Mutation(
        "a registry without a version is an old one",
        "detection.py",
        "    return Capabilities(None, is_three, aliases, True, how)",
        "    return Capabilities(None, not is_three, aliases, True, how)",
        ("test_a_registry_that_hides_its_version_is_found_out_by_what_it_can_do",),
    ),
    Mutation(
        "a refusal is another error",
        "mlflow_border/translation.py",
        "if code in _DENIED or _http_status(error) in (401, 403):",
        "if False:",
        ("test_a_server_that_refuses_access_is_said_to",),
    ),
    Mutation(
        "a refused control question is a missing registry",
        "detection.py",
        'raise AccessDenied(\n            f"The registry refuses access: HTTP',
        'raise RegistryUnsupported(\n            f"The registry refuses access: HTTP',
        ("test_a_hidden_version_with_refused_access_is_refused",),
    ),
    Mutation(
        "credentials are shown",
        "errors.py",
        "    text = _URI.sub(_without_userinfo, text)\n",
        "",
        ("test_no_credential_is_shown",),
    ),
    Mutation(
        "codes are dropped",
        "mlflow_border/translation.py",
        "            ours.code = code or type(error).__name__\n",
        "            pass\n",
        ("test_another_answer_keeps_its_code",),
    ),
    Mutation(
        "the registry is asked each time",
        "detection.py",
        "        if known and not registry.connection_failed and",
        "        if known and False and",
        ("test_a_registry_is_asked_for_its_version_once", "test_the_live_number_costs_one_request"),
    ),
    Mutation(
        "the model is asked for twice",
        "registered_model.py",
        "        reply = self._registry.model(self.name)\n        seen = self._readable(reply)\n",
        "        self._registry.model(self.name)\n        reply = self._registry.model(self.name)\n        seen = self._readable(reply)\n",
        ("test_the_live_version_costs_two_requests",),
    ),
    Mutation(
        "the versions are asked for twice",
        "registered_model.py",
        "        return tuple(each.version for each in versions if",
        "        self._registry.versions(self.name)\n        return tuple(each.version for each in versions if",
        ("test_a_status_costs_two_requests",),
    ),
    Mutation(
        "a promotion reads back twice",
        "registered_model.py",
        "        self._read_back(number, pointers)\n        return move",
        "        self._read_back(number, pointers)\n        self._read_back(number, pointers)\n        return move",
        ("test_a_promotion_costs_three_requests_and_the_write",),
    ),
    Mutation(
        "an old answer is good for ever",
        "detection.py",
        "(max_age is None or time.monotonic() - known[0] < max_age)",
        "True",
        ("test_an_upgraded_server_is_noticed_before_a_write",),
    ),
    Mutation(
        "nothing is read back",
        "registered_model.py",
        "            if named[pointer] != version:",
        "            if False:",
        ("test_a_promotion_that_another_overtakes_is_said_to_be_lost",),
    ),
    Mutation(
        "the JSON's aliases are dropped",
        "mlflow_border/entities.py",
        'aliases={entry["alias"]: int(entry["version"]) for entry in model.get("aliases", [])},',
        "aliases={},",
        ("test_the_json_reply_says_what_the_entity_says",),
    ),
    Mutation(
        "an alias is set over REST to version 2",
        "mlflow_border/rest.py",
        '"alias": alias, "version": version}',
        '"alias": alias, "version": "2"}',
        ("test_an_alias_set_and_deleted_over_rest_is_mlflows_own",),
    ),
)


def survivors(mutation: Mutation, directory: Path) -> list[str]:
    """Return the laws that pass on a mutant, although they must not."""
    copy = directory / "prodpointer"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(SOURCE, copy)
    broken = copy / mutation.file
    text = broken.read_text(encoding="utf-8")
    broken.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "tests/conformance"]
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    chosen = ["-k", " or ".join(mutation.laws)]
    done = subprocess.run([*command, *chosen], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    failed = {line.split("::")[1].split("[")[0].split(" ")[0] for line in done.stdout.splitlines() if "FAILED" in line}
    return [law for law in mutation.laws if law not in failed]


def world() -> tuple[str, ...]:
    """Return the worlds that the MLflow at hand belongs to."""
    from mlflow.version import VERSION

    before = ("before aliases",) if tuple(map(int, VERSION.split(".")[:2])) < (2, 3) else ()
    return (VERSION.split(".")[0], *before)


def table() -> str:
    """Return the list as CONTRIBUTING.md keeps it."""
    lines = ["| mutation | in | caught by |", "| --- | --- | --- |"]
    for mutation in MUTATIONS:
        laws = ", ".join(f"`{law}`" for law in mutation.laws)
        where = f" (MLflow {mutation.only})" if mutation.only else ""
        lines.append(f"| {mutation.what}{where} | `{mutation.file}` | {laws} |")
    return "\n".join(lines)


def chosen_by(arguments: list[str], mutation: Mutation) -> bool:
    """Tell whether a mutation is to be tried: all are, unless words of some were given."""
    return not arguments or any(word in mutation.what for word in arguments)


def main(arguments: list[str]) -> int:
    """Try every mutation, or print the list."""
    if arguments == ["--table"]:
        print(table())
        return 0
    survived = 0
    with tempfile.TemporaryDirectory() as scratch:
        for mutation in MUTATIONS:
            if (mutation.only and mutation.only not in world()) or not chosen_by(arguments, mutation):
                continue
            found = survivors(mutation, Path(scratch))
            survived += len(found)
            print(
                f"{'SURVIVED' if found else 'caught'}: {mutation.what}{': ' + ', '.join(found) if found else ''}",
                flush=True,
            )
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
