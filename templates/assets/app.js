// Every page works without scripts; these make it live and quick.
//
// navigate.js  links and forms replace the main part only
// live.js      one stream of patches per open page
// patch.js     a patch into the page, without moving anything under the pointer
// rows.js      the tree's numbering, a row's details
// signal.js    which processes of the table are to be signalled
// keys.js      the key map, and the help made from it
// times.js     times in the reader's zone
// timeline.js  the timeline and the charts: values under the pointer, travel by click, zoom by drag
// again.js     pages that are not live, asked again
// arrivals.js  hosts that join, on the page that adds them
// copy.js      buttons that copy
// steps.js     from sample to sample by key
// kept.js      what was typed into a form that was refused
// suggest.js   suggestions below the box of the head
// numbers.js   numbers as the server writes them
import { go, start as startNavigation } from "./navigate.js";
import { start as startLive } from "./live.js";
import { start as startKeys } from "./keys.js";
import { start as startRows } from "./rows.js";
import { start as startSignal } from "./signal.js";
import { start as startTimes, tellZone } from "./times.js";
import { start as startTimeline } from "./timeline.js";
import { start as startAgain } from "./again.js";
import { start as startArrivals } from "./arrivals.js";
import { start as startCopy } from "./copy.js";
import { start as startKept } from "./kept.js";
import { start as startSuggestions } from "./suggest.js";
import { start as startTheme } from "./switch.js";

startTheme();
startTimes();
startRows();
startSignal();
startNavigation();
startTimeline();
startKeys();
startLive();
startAgain();
startArrivals();
startCopy();
startKept();
startSuggestions();
// The first page of a browser: its fields are to be in the reader's zone, too.
if (tellZone()) go(location.href, { how: "replace", keep: true });
