import type { JSX } from "preact";
import { exact, extent, Power, Raised, short, times } from "../../numbers";
import type { Part } from "../../part";
import { account, setting } from "../../state";
import { Accuracy, Elsewhere } from "./accuracy";
import { Trained } from "./board";
import { Moving } from "./moving";
import { Slide } from "./slide";
import { text } from "./text";
import { WayControls } from "./ways";
import { Weights } from "./weights";
import { Who } from "./who";

/** The sharing factor. */
function Factor(): JSX.Element {
  const { weights, connections } = account.value;
  return connections % weights === 0n ? <Power value={connections / weights} /> : <>{times(connections, weights)}</>;
}

/** Kernels × taps = weights, for the setting chosen. */
function Count(): JSX.Element {
  const t = text();
  const { kernels, weights, connections } = account.value;
  const { kernel } = setting.value;
  return (
    <p class="sharing-count" aria-live="polite">
      {t.count(t.kernelsCounted(exact(kernels)), extent(kernel, kernel), exact(weights))}
      <span class="quiet small">
        <Raised text={t.factor(times(connections, weights))} />
      </span>
    </p>
  );
}

function View(): JSX.Element {
  const t = text();
  const { units, connections, shared, weights, kernels } = account.value;
  const sharing = connections === weights ? "none" : kernels === 1n ? "all" : "some";
  const counts = { units: <Power value={units} />, connections: <Power value={connections} />, taps: short(shared) };
  return (
    <>
      <p>{t.problem(counts)}</p>
      <p>{t.idea(counts)}</p>
      <Slide />
      <p>{t.between}</p>
      <WayControls />
      <Count />
      <div class="side-by-side">
        <Who />
        <Weights />
      </div>
      <h3>{t.lost}</h3>
      <p>{t.lostIdea}</p>
      <Trained />
      <Accuracy />
      <p>{t.chosen}</p>
      <Elsewhere />
      <p>{t.matters}</p>
      <p>{t.movingIdea}</p>
      <Moving />
      <p>{t.saved(<Power value={connections} />, <Power value={weights} />, <Factor />, sharing)}</p>
      <p>{t.given(sharing)}</p>
    </>
  );
}

export const sharing: Part = { id: "sharing", title: () => text().title, View };
