"""What an engine can limit on this machine, and the sentences that say what it cannot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """Limits that an engine can set for one container."""

    memory: bool
    processes: bool
    cores: bool
    #: the sizes of /tmp and of shared memory
    temporary: bool = True
    #: GPUs other than the chosen one cannot be used
    hides_gpus: bool = True

    def unlimited(self, reason: str) -> tuple[str, ...]:
        """What is not limited, at most one sentence for each cause; empty if all is.

        Args:
            reason: why the engine cannot set the first three limits, as part of a sentence.
        """
        by_group = {
            "memory": self.memory,
            "number of processes": self.processes,
            "cores": self.cores,
        }
        missing = [name for name, is_limited in by_group.items() if not is_limited]
        sentences = []
        if missing:
            because = f" ({reason})" if reason else ""
            sentences.append(f"a model's {_list(missing)} cannot be limited here{because}")
        if not self.temporary:
            sentences.append("the sizes of /tmp and of shared memory are not limited")
        if not self.hides_gpus:
            sentences.append(
                "a container sees all GPUs; CUDA_VISIBLE_DEVICES names the chosen one, and a model "
                "may ignore it"
            )
        return tuple(sentences)


def _list(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
