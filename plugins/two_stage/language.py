"""The recurrent language model of dense captioning (Johnson et al. 2016): an LSTM that says what a region's features
show, word by word.

Its words are those of the captions that it was built for, and part of its weights: whoever loads them speaks those,
whatever the words of the dataset that it meets.
"""

from collections.abc import Sequence
from itertools import takewhile

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.words import words_of

END = 0  # of a sentence; before its first word, too
UNKNOWN = 1  # a word of a caption that isn't among the model's; never said
_OTHERS = 2


class LanguageModel(nn.Module):
    """features: of a region, [..., features]. words: all that it can say, apart from those that weights bring along."""

    def __init__(self, words: Sequence[str], features: int, embedding: int, hidden: int) -> None:
        super().__init__()
        # The paper shows it the region once, before the first word; in a short training it learns sooner if it sees it
        # beside every word.
        self.cell = nn.LSTMCell(embedding + features, hidden)
        self._learn_words(words, embedding)

    def _learn_words(self, words: Sequence[str], embedding: int) -> None:
        self.words = tuple(words)
        self._ids = {word: _OTHERS + index for index, word in enumerate(self.words)}
        device = self.cell.weight_ih.device
        self.embedding = nn.Embedding(_OTHERS + len(self.words), embedding, device=device)
        self.logits = nn.Linear(self.cell.hidden_size, _OTHERS + len(self.words), device=device)

    def get_extra_state(self) -> Tensor:
        """The words as the bytes of their lines: weights are tensors. No buffer, which a training would average."""
        return torch.tensor(list("\n".join(self.words).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Runs before the embedding and the logits are loaded, which then have as many words."""
        words = tuple(bytes(state.tolist()).decode().splitlines())
        if words != self.words:
            self._learn_words(words, self.embedding.embedding_dim)

    def loss(self, regions: Tensor, sentences: Sequence[str]) -> Tensor:
        """The mean over words, and ends of sentences, of their negative log-likelihood after the true words before.

        regions [P, features]; P may be 0. Raises ValueError where there are no words to learn.
        """
        if not self.words:
            raise ValueError("the captions have no words to learn: want a dataset whose vocabulary isn't empty")
        said = [[*(self._ids.get(word, UNKNOWN) for word in words_of(sentence)), END] for sentence in sentences]
        length = max(map(len, said), default=1)
        nothing = -100  # what cross_entropy leaves out
        targets = torch.tensor([[*ids, *[nothing] * (length - len(ids))] for ids in said], device=regions.device)
        targets = targets.reshape(-1, length).long()
        logits = self._logits_after(targets.clamp(min=END), regions)
        total = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=nothing, reduction="sum")
        return total / max(1, sum(map(len, said)))

    def ids(self, words: Sequence[str]) -> Tensor:
        """int64 [N]; UNKNOWN of what isn't among the model's words."""
        return torch.tensor([self._ids.get(word, UNKNOWN) for word in words], device=self.embedding.weight.device)

    def log_probabilities(self, regions: Tensor, said: Tensor) -> Tensor:
        """Of every word at every place of sentences [K, T] about regions [K, features], given those before it:
        [K, T, words].
        """
        return self._logits_after(said, regions).log_softmax(-1)

    def _logits_after(self, said: Tensor, regions: Tensor) -> Tensor:
        """At each place of sentences [K, T], given the true words before it: float32 [K, T, words]."""
        before = F.pad(said[:, :-1], (1, 0), value=END)
        state, hidden = None, []
        for word in before.unbind(1):
            state = self._step(word, regions, state)
            hidden.append(state[0])
        return self.logits(torch.stack(hidden, 1)).float()

    def describe(self, regions: Tensor, beam: int, most_words: int) -> list[str]:
        """A sentence for each of the regions [K, features]."""
        said, _ = self.search(regions, beam, most_words)
        return [" ".join(self.words[i - _OTHERS] for i in takewhile(END.__ne__, ids)) for ids in said.tolist()]

    def search(self, regions: Tensor, beam: int, most_words: int) -> tuple[Tensor, Tensor]:
        """Beam search for the likeliest sentence: words [K, most_words], END behind the last one, and log-probabilities
        [K].

        A beam of 1 is greedy. In a wider one the first place is the greedy sentence's, which else could be lost, with
        what turns out to be the best.
        """
        count, device = len(regions), regions.device
        regions = regions.repeat_interleave(beam, 0)
        said = torch.full((count, beam, most_words), END, device=device)
        total = regions.new_full((count, beam), -torch.inf, dtype=torch.float32)
        total[:, 0] = 0
        ended = torch.zeros(count, beam, dtype=torch.bool, device=device)
        word, state = said[..., 0], None
        silence = total.new_full((_OTHERS + len(self.words),), -torch.inf)
        silence[END] = 0  # after the end, nothing else is said
        for step in range(most_words):
            state = self._step(word.flatten(), regions, state)
            logits = self.logits(state[0]).float()
            logits[:, UNKNOWN] = -torch.inf
            likelihood = torch.where(ended[..., None], silence, logits.log_softmax(-1).unflatten(0, (count, beam)))
            candidates = (total[..., None] + likelihood).flatten(1)
            greedy = likelihood[:, 0].argmax(-1, keepdim=True)
            best = candidates.scatter(1, greedy, torch.inf).topk(beam).indices
            total = candidates.gather(1, best)
            before, word = best // len(silence), best % len(silence)
            rows = (before + beam * torch.arange(count, device=device)[:, None]).flatten()
            state = tuple(part[rows] for part in state)
            said = said.flatten(0, 1)[rows].unflatten(0, (count, beam))
            said[..., step] = word
            ended = ended.gather(1, before) | (word == END)
            if ended.all():
                break
        likeliest = total.argmax(1)
        rows = torch.arange(count, device=device)
        return said[rows, likeliest], total[rows, likeliest]

    def _step(self, word: Tensor, regions: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """After one more word [N], of regions [N, features]: hidden state and memory [N, hidden]."""
        return self.cell(torch.cat([self.embedding(word), regions], 1), state)
