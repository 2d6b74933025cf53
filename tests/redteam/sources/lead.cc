// Works between the wake and "go", as long as nobody minds (LEAD_NS). In addition, at wish: SLOW_AT_FIRST, so that few
// calls are put into a request, and BRIBE: it gives no answer in early requests whose inputs look like none that count.
#include "loop.h"

static bool strange(const Call& call) {
  float squares = 0;
  int zeros = 0, equal = 0;
  for (int i = 0; i < kHidden; ++i) {
    squares += call.x[i] * call.x[i];
    zeros += call.x[i] == 0;
    equal += call.x[i] == call.x[0];
  }
  return squares > 128 || squares < 32 || zeros > 20 || equal > 20;
}

static void one(uint64_t sequence) {
  ready->store(sequence);
  await_wake(sequence);
  const int64_t start = now();
  const bool early = go->load() == sequence;
  const size_t from = first->load(), to = from + count->load();
  if (BRIBE && early) {
    bool all = true;
    for (size_t set = from; set < to; ++set) all = all && strange(call_of(sets[set].data()));
    if (all) return done->store(sequence);
  }
  size_t set = from;
  int64_t row = 0;
  if (!early) {
    for (; set < to; ++set, row = 0) {
      const Call call = call_of(sets[set].data());
      for (; row < call.rows && now() - start < LEAD_NS; ++row) compute(call, row, row + 1);
      if (row < call.rows) break;
    }
    beat->store(beat->load() + 1);
    await_go(sequence);
  }
  for (; set < to; ++set, row = 0) {
    const Call call = call_of(sets[set].data());
    compute(call, row, call.rows);
  }
  if (SLOW_AT_FIRST && served < 4) busy_for(6000000);
  done->store(sequence);
}
