// The story in its order.

import type { Part } from "../part";
import { dense } from "./dense";
import { local } from "./local";
import { network } from "./network";
import { pooling } from "./pooling";
import { sharing } from "./sharing";
import { stack } from "./stack";

export const PARTS: readonly Part[] = [dense, local, sharing, pooling, stack, network];
