/**
 * One tip about a prompt, where one applies: a language that the model does not read, words without meaning for it, no
 * motion, or writing in the picture. These are rules of thumb over words; in doubt there is no tip. Chinese counts as
 * understood. A model that tells what it understood needs none of this: Requests.tipFor.
 */
const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** Words about quality, which name no motion. */
const vague = words(`
  amazing awesome beautiful best better breathtaking brilliant captivating charming cinematic cool creative cute
  dazzling dramatic dreamy epic exciting fantastic fascinating fun funny gorgeous great impressive incredible
  interesting lovely magic magical majestic masterpiece mesmerizing mindblowing nice perfect photorealistic pretty
  quality realistic spectacular stunning superb surprise ultra unbelievable vivid wonderful wow
`);
const vagueChinese = /惊艳|震撼|好看|漂亮|美丽|唯美|精彩|完美|高级感|大片感|厉害|惊人|绝美|酷炫|梦幻/u;

/** Beginnings of words for motion, or for deliberate stillness. */
const motionStems = `
  accelerat advanc animat approach ascend back bend billow blink blow bob bounc breath breez bubbl burn cascad catch
  circl clap clos climb clockwise counterclockwise anticlockwise crane crash crawl cross danc dart dash descend dive
  dolly drift drip driv drop ease emerg enter exit expand explod fade fall fast flap flash flicker flip float flock
  flow flutter fly flies flown follow forward freez frozen gallop glid glow grow gust hover hyperlapse jump lapse laugh
  launch leap lift lower march melt morph motion mov nod open orbit pan panned panning parallax pass pour pull puls
  push quick race rack rain reveal rid ripple rippl ris rock roll rotat run rush rustl sail shak shimmer shiver sink
  skat slid slow smil snow sparkl speed spin spiral splash spray spread sprint static steady steam still stir stream
  stretch sway sweep swim swing swirl swoop tilt timelapse toss track travel trembl truck tumbl turn twinkl twirl
  twist unfold vibrat wag walk warp wave waving wind whirl wiggl wink wobbl zoom handheld gentl retreat locked
`
  .trim()
  .split(/\s+/);
/** Short stems would also begin other words. */
const wholeWordStems = words('back pan rid ris mov rain wind run catch wag cross enter exit crane still');
const wholeWords = words(`
  back pan pans ride rides riding rise rises rising move moves moved moving movement rain rains raining wind winds
  windy run runs running catch catches wag wags cross crosses enter enters exit exits crane cranes still
`);
/** Words in -ing that name no motion; all others are taken for motions. */
const stillIng = words(`
  amazing anything beijing being breathtaking building buildings captivating ceiling charming clothing darling
  dazzling during earring engaging evening everything exciting fascinating king lighting living looking lying missing
  morning nothing offspring outstanding painting pudding ring seeing setting sibling sitting something spring
  standing stunning string surprising sterling thing viking wearing wedding wing interesting mesmerizing drawing
  having wellbeing smoking charging
`);
const directions = words(`
  left right up down in out forward forwards backward backwards inward outward upward upwards downward downwards
  leftward leftwards rightward rightwards away closer nearer farther further around higher
`);
/** Beside these words a direction is one of motion, not a place in the picture. */
const viewers = words('camera look view shot');
const motionChinese =
  /[推拉摇移转近远升降飘摆动流波浪飞走跑吹闪旋滚涌荡漾晃游跳舞落下滑跟环绕放缩镜眨眨笑飏拂抖颤燃烧静止定格慢快左右上前后进退]/u;

/** Writing in the picture. */
const writing =
  /\b(?:text|letters?|lettering|captions?|subtitles?|logos?|slogan|watermark|typography|written|says|saying|reads|handwriting)\b|文字|字幕|标志|标语|字母|写着|水印/iu;

/** Words of the commonest other languages in Latin letters that are not English. */
const foreign = words(`
  und oder nicht mit der das ein eine einer eines dem den auf aus ist sind wird werden langsam schnell bewegt bewegen
  kamera wellen wasser haare himmel wolken mann hund katze nach vorne hinten links rechts schön ruhig bitte lass mach
  le la les des une du et avec dans est sont lentement doucement vite caméra vagues vent ciel nuages cheveux femme
  homme eau vers gauche droite chat chien bouge bougent fais qui mouvement
  el los las una y con del está están es lento lenta lentamente despacio rápido cámara olas viento cielo nubes pelo
  mujer hombre agua hacia izquierda derecha perro gato mueve mueven haz que movimiento moviendo suavemente
  il lo gli di della dello che nel nella sono veloce onde vento cielo nuvole capelli donna uomo acqua verso sinistra
  destra muove muovono piano movimento
  o os um uma e em com não são devagar câmera ondas nuvens cabelo mulher homem água esquerda direita cachorro
  het een van niet langzaam snel golven lucht wolken naar rechts vrouw beweegt
  i w na z się jest są powoli szybko fale wiatr niebo chmury włosy kobieta mężczyzna woda lewo prawo pies kot
  ve bir ile yavaş yavaşça hızlı dalgalar rüzgar saç kadın adam su sola sağa kamerayı
  och en ett med sakta snabbt vågor vind himmel dan yang dengan perlahan ombak angin di ke và với một chậm
`);
/** Of those, words that are English, too, or occur in English prompts. */
const ambiguous = words(
  'i o e y w z en on es is que la le el dan di de su ke adam chat des den est piano as an in il lo',
);
const english = words(`
  the a an and of with to is are in on at her his its their from over under through toward towards into as by for
  while slowly gently softly camera zoom pan tilt slow fast water hair waves wind sky clouds man woman girl boy dog
  cat up down left right very
`);

const letterPattern = /\p{L}/gu;
const knownScripts = /[\p{Script=Latin}\p{Script=Han}\p{Script=Common}\p{Script=Inherited}]/u;

/** What could be better about a prompt. */
export type PromptTip =
  | { readonly kind: 'language' | 'text' | 'noMotion' }
  | { readonly kind: 'vague'; readonly word: string };

/** A tip for the person, or undefined where none applies. */
export function promptTip(prompt: string): PromptTip | undefined {
  if (prompt.trim() === '') return undefined; // no prompt means the model's own motion
  if (isForeign(prompt)) return { kind: 'language' };
  if (hasMotion(prompt)) return writing.test(prompt) ? { kind: 'text' } : undefined;
  const word = tokens(prompt).find((token) => vague.has(token)) ?? vagueChinese.exec(prompt)?.[0];
  return word ? { kind: 'vague', word } : { kind: 'noMotion' };
}

function tokens(prompt: string): string[] {
  return prompt.toLowerCase().match(/[\p{L}\p{M}']+/gu) ?? [];
}

function isForeign(prompt: string): boolean {
  const letters = prompt.match(letterPattern) ?? [];
  const unknown = letters.filter((letter) => !knownScripts.test(letter)).length;
  if (unknown >= 2 && unknown * 5 >= letters.length) return true;
  const found = new Set(tokens(prompt));
  let foreignWords = 0;
  let doubtfulWords = 0;
  let englishWords = 0;
  for (const word of found) {
    if (english.has(word)) englishWords++;
    else if (ambiguous.has(word)) doubtfulWords += foreign.has(word) ? 1 : 0;
    else if (foreign.has(word)) foreignWords++;
  }
  if (foreignWords === 0) return false;
  if (englishWords === 0 && !hasMotion(prompt)) return true;
  return foreignWords + doubtfulWords >= 2 && foreignWords > englishWords;
}

function hasMotion(prompt: string): boolean {
  if (motionChinese.test(prompt)) return true;
  const found = tokens(prompt);
  const isAboutView = found.length <= 3 || found.some((word) => viewers.has(word));
  if (isAboutView && found.some((word) => directions.has(word))) return true;
  return found.some(
    (word) =>
      wholeWords.has(word) ||
      motionStems.some((stem) => !wholeWordStems.has(stem) && word.startsWith(stem)) ||
      (word.length > 4 && word.endsWith('ing') && !stillIng.has(word)),
  );
}
