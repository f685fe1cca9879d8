"""Every planted bug can be planted; that each is found is `make test-mutants`."""

import pytest

from simt.build import HERE
from simt.mutants import Mutant, all_mutants


@pytest.mark.parametrize("mutant", all_mutants(), ids=lambda mutant: mutant.name)
def test_the_text_to_replace_is_there_once(mutant):
    assert mutant.changed() != mutant.unchanged()
    assert all((HERE / test).exists() for test in mutant.tests.split())


def test_a_text_that_is_not_there_is_an_error():
    mutant = Mutant("nothing", "csrc/cuda/kernels/launch.h", find="no such text", replace="", tests="test_nms.py")
    with pytest.raises(ValueError, match=r"mutant 'nothing': 'no such text' stands 0 times in .*launch\.h"):
        mutant.changed()
