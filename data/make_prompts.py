"""Prints the prompts from which data/instructions.jsonl is made, as JSON lines:

    {"id": "train-0001", "split": "train", "prompt": "..."}

    python3 data/make_prompts.py > runs/prompts.jsonl

Topics x tasks x styles, chosen by a fixed seed: the same bytes on every run. A topic x task pair is
used once at most, so no pair of the held-out set occurs in training. Every prompt asks for a short
answer. The texts that prompts quote are composed here, from the facts below. Standard library only.
"""

import json
import random
import sys

SEED = 2406
TRAIN = 1500
HELD_OUT = 225

# Topics: two lines each. "name | this / that to compare | a goal (to ...)", then "fact | fact".
TOPICS = """
# science
the water cycle | rain / snow | collect rain water for a garden
Water evaporates from the sea and falls again as rain. | Clouds are made of tiny drops of water or ice.
gravity | mass / weight | show children how gravity works
Gravity pulls every object towards the centre of the Earth. | The Moon pulls less strongly than the Earth, so things weigh less there.
magnets | magnets / electric motors | find north with a home-made compass
A magnet has two ends that are called poles. | Opposite poles attract each other and equal poles push apart.
sound | sound / light | make a noisy room quieter
Sound travels faster in water than in air. | A vibrating string makes the air around it move.
the solar system | planets / moons | find a planet in the night sky
Jupiter is the largest planet of the solar system. | The light of the Sun needs about eight minutes to reach the Earth.
atoms | atoms / molecules | learn the first ten chemical elements
An atom has a small nucleus with electrons around it. | Gold and iron are both chemical elements.
vaccines | vaccines / medicines | prepare a child for an injection
A vaccine teaches the body to recognise a disease. | Smallpox was ended by vaccination in 1980.
# nature
trees | oak trees / pine trees | plant a young tree
Trees take in carbon dioxide and give off oxygen. | The rings of a trunk show how old a tree is.
honey bees | honey bees / wasps | make a garden friendly to bees
Bees carry pollen from flower to flower. | A hive has one queen and thousands of workers.
whales | whales / sharks | watch whales without disturbing them
Whales are mammals and breathe air. | The blue whale is the largest animal that has ever lived.
volcanoes | volcanoes / earthquakes | stay safe near an active volcano
Lava is melted rock that reaches the surface. | Many islands in the Pacific were built by volcanoes.
deserts | hot deserts / cold deserts | carry enough water on a desert walk
A desert gets very little rain in a year. | Desert nights can be very cold.
birds that migrate | swallows / pigeons | attract birds to a balcony
Many birds fly south before the winter begins. | The Arctic tern travels from pole to pole every year.
mushrooms | mushrooms / plants | store fresh mushrooms
Mushrooms are not plants but fungi. | Some wild mushrooms are poisonous and look like edible ones.
# computing
passwords | passwords / fingerprints | keep many passwords safe
A long password is harder to guess than a short one. | A password manager remembers passwords so that people need not.
computer memory | memory / disk storage | speed up an old computer
Memory loses its contents when the power goes off. | A program must be loaded into memory before it runs.
search engines | search engines / libraries | find a trustworthy answer online
A search engine keeps an index of the pages it has seen. | The first result is not always the best one.
spreadsheets | spreadsheets / databases | track monthly spending in a spreadsheet
A formula in a cell is computed again when its inputs change. | Spreadsheets are used for budgets, lists and plans.
computer bugs | bugs / viruses | report a bug so that it gets fixed
A bug is a mistake in a program. | Tests find many bugs before users do.
email spam | spam / newsletters | reduce the spam in an inbox
Spam is email that nobody asked for. | A link in a strange message can lead to a false website.
robots | robots / people | build a simple robot at home
Robots weld and paint cars in many factories. | A robot needs sensors to notice what is around it.
# history
the printing press | printed books / handwritten books | present the history of books to a class
Gutenberg printed with movable metal type around 1450. | Books became cheaper once they could be printed.
ancient Egypt | pyramids / temples | plan a school talk about ancient Egypt
The pyramids at Giza were built as tombs for kings. | Egyptian farmers depended on the floods of the Nile.
the Roman roads | Roman roads / modern motorways | draw a map of an old trade route
The Romans built straight roads to move their armies. | Some Roman roads are still in use today.
the steam engine | steam engines / petrol engines | explain old machines to visitors of a museum
Steam engines pumped water out of mines. | James Watt made the steam engine far more efficient.
the first Moon landing | rockets / aeroplanes | organise an evening about space travel
Two astronauts walked on the Moon in July 1969. | The landing was shown on television around the world.
the Silk Road | trade by land / trade by sea | tell a story about a merchant of the past
The Silk Road joined China with the Mediterranean. | Silk, spices and ideas travelled along the same routes.
# cooking
baking bread | yeast / baking powder | bake a loaf for the first time
Yeast makes dough rise. | Bread should cool before it is cut.
cooking rice | white rice / brown rice | cook rice that does not stick
Rice is the daily food of billions of people. | Washed rice sticks together less.
soup | soup / stew | make a soup from leftovers
A good soup often begins with fried onions. | Soup can be frozen and eaten weeks later.
coffee | coffee / tea | make better coffee at home
Coffee is made from the roasted seeds of a fruit. | Freshly ground coffee has a stronger smell.
salads | salads / cooked vegetables | keep a salad crisp
The dressing should be added just before eating. | Nuts and seeds make a salad more filling.
spices | cinnamon / pepper | store spices so that they keep their taste
Spices lose their smell when they are kept too long. | Pepper was once so dear that it was used as money.
breakfast | a sweet breakfast / a savoury breakfast | eat a good breakfast on a busy day
Oats keep people full for a long time. | Many children learn better after breakfast.
# health
sleep | a nap / a full night of sleep | fall asleep more easily
Most adults need seven to nine hours of sleep. | Bright screens late in the evening make it harder to sleep.
washing hands | soap / hand gel | teach children to wash their hands
Washing hands with soap removes germs. | Hands should be washed for about twenty seconds.
drinking water | water / soft drinks | remember to drink enough water
More than half of the body is water. | People need more water on hot days.
stress | stress / tiredness | calm down before an exam
A short walk can lower stress. | Slow breathing tells the body to relax.
back pain | sitting / standing at work | sit well at a desk
Long hours of sitting are hard on the back. | Strong muscles protect the spine.
teeth | toothbrushes / dental floss | look after teeth on a journey
Sugar feeds the bacteria that damage teeth. | Teeth should be brushed twice a day.
first aid | a cut / a burn | prepare a small first-aid kit
A small burn should be cooled with running water. | Every home should have a first-aid kit.
# daily life
doing laundry | washing by hand / a washing machine | wash a woollen jumper
Wool shrinks in hot water. | White and coloured clothes are best washed apart.
house plants | cactuses / ferns | keep a house plant alive
Too much water kills more house plants than too little. | Most plants grow towards the light.
moving house | renting / buying a home | pack for a move
Heavy things belong in small boxes. | A list on every box saves time later.
a tidy desk | paper notes / digital notes | keep a desk tidy
A tidy desk makes it easier to start work. | Things that are used every day should be within reach.
pets | cats / dogs | get a new cat used to its home
Dogs need a walk every day. | Cats sleep for more than half of the day.
neighbours | living in a flat / living in a house | get to know new neighbours
A friendly word on the stairs costs nothing. | Loud music at night is a common cause of quarrels.
birthday parties | a big party / a small party | plan a birthday party on a small budget
Guests remember good company longer than decorations. | A party for children needs games more than expensive presents.
# work
job interviews | a phone interview / a meeting in person | prepare for a job interview
Good candidates ask questions too. | It helps to arrive ten minutes early.
meetings | meetings / emails | keep a meeting short
A meeting without an agenda often takes too long. | Notes help those who could not come.
working from home | an office / a home office | stay focused when working at home
Many people save an hour a day when they work from home. | A separate place for work makes it easier to stop in the evening.
team work | working alone / working in a team | solve a quarrel in a team
Clear roles help a team to work well. | A team learns more when mistakes are talked about openly.
time management | to-do lists / calendars | plan a busy week
Hard tasks are best done when the mind is fresh. | Most tasks take longer than planned.
customer service | phone support / chat support | answer an angry customer
A quick and honest answer calms many customers. | Customers tell their friends about bad service.
starting a business | a shop / an online shop | test a business idea cheaply
Many small businesses fail because they run out of cash. | A business plan says who will pay and why.
# travel
train journeys | trains / planes | make a long train journey pleasant
A train goes from one city centre to another. | Tickets are often cheaper when they are booked early.
packing a suitcase | a suitcase / a backpack | pack light for a week
Rolled clothes take less space. | Medicines belong in the hand luggage.
camping | a tent / a caravan | set up a tent in the wind
A tent should stand on flat and dry ground. | Food left outside attracts animals.
city maps | paper maps / phone maps | find the way in a strange city
A map shows a large place on a small piece of paper. | The scale tells how far things are apart.
jet lag | travelling east / travelling west | get over jet lag
Jet lag comes from crossing time zones quickly. | Daylight helps the body to find the new time.
museums | museums / theatres | visit a museum with children
Many museums are free on one day of the month. | A short visit is often more fun than a long one.
# arts
painting | oil paint / watercolour | start painting as a hobby
Blue and yellow paint mixed together give green. | Oil paint dries slowly.
learning the guitar | the guitar / the piano | practise the guitar every day
A guitar usually has six strings. | Ten minutes of practice a day is better than an hour once a week.
photography | a phone camera / a large camera | take a good portrait photo
Soft light makes faces look better. | A photograph with a simple background is easier to read.
theatre | theatre / cinema | get over stage fright
Actors rehearse a play for many weeks. | In the theatre every evening is a little different.
poetry | poems / songs | write a first poem
A haiku has three lines. | Not every poem has to rhyme.
dancing | ballet / folk dance | learn a dance for a wedding
Dancing trains both the body and the memory. | Every culture has dances of its own.
# language
learning a new language | speaking / reading a new language | learn ten new words a day
Children learn languages by listening first. | Short daily practice works better than long lessons.
punctuation | commas / full stops | check a letter for mistakes
A full stop ends a sentence. | A missing comma can change the meaning of a sentence.
proverbs | proverbs / jokes | use a proverb in a speech
A proverb puts advice into a few words. | Many proverbs exist in several languages.
writing letters | letters / text messages | write a thank-you letter
A letter begins with a greeting. | Handwritten letters have become rare.
dictionaries | a dictionary / an encyclopedia | look up a word quickly
The words in a dictionary stand in alphabetical order. | New words are added to dictionaries every year.
sign language | sign language / spoken language | learn a few signs
Sign languages have a grammar of their own. | Different countries have different sign languages.
# sport
running | running / swimming | start running slowly
Good shoes protect the knees of a runner. | A marathon is a little over forty-two kilometres long.
football | football / basketball | explain the rules of football to a beginner
A football team has eleven players on the field. | Only the goalkeeper may touch the ball with the hands.
swimming | a pool / the sea | get over a fear of water
Swimming uses almost every muscle. | Nobody should swim alone in the sea.
chess | chess / card games | teach chess to a child
A chess board has sixty-four squares. | The game ends when the king cannot escape.
yoga | yoga / weight training | do yoga in a small room
Yoga joins movement and breathing. | Stretching should never hurt.
cycling | cycling / driving | ride a bicycle safely in a city
A helmet protects the head of a cyclist. | Tyres with too little air make riding harder.
# money
saving money | saving / investing | save a little money every month
Small amounts add up over the years. | It is easier to save when the money leaves the account by itself.
budgets | a budget / a shopping list | make a first budget
A budget shows where the money goes. | Rent is often the largest cost of a household.
taxes | taxes / fees | keep papers in order for the tax office
Taxes pay for roads and schools. | Most countries tax both income and sales.
second-hand shopping | new clothes / used clothes | sell old things online
Used furniture is often better made than cheap new furniture. | Buying used things reduces waste.
insurance | car insurance / health insurance | choose a fair insurance
Insurance spreads the cost of bad luck over many people. | The small print says what is not covered.
# environment
recycling | paper / plastic | sort rubbish at home
Glass can be recycled again and again. | Dirty paper cannot be recycled well.
solar panels | solar power / wind power | find out whether a roof suits solar panels
Solar panels turn sunlight into electricity. | Panels still work on cloudy days, though less well.
saving energy | gas heating / electric heating | use less electricity at home
A lid on the pot saves energy when water is boiled. | LED lamps use far less power than old light bulbs.
rivers | rivers / lakes | help to clean a river bank
Rivers carry water from the hills to the sea. | Many large cities were built beside rivers.
the climate | weather / climate | talk about the climate with a teenager
Climate is the usual weather of a place over many years. | Warmer air can hold more water.
composting | compost / bought fertiliser | start a compost heap
Compost is made from kitchen and garden waste. | Worms help to turn leaves into soil.
# society
voting | voting by post / voting in person | explain an election to a class
In a secret ballot nobody can see how another person votes. | Elections let people change their government in peace.
libraries | borrowing / buying books | get children to read more
A library lends books to everyone. | Many libraries lend films and games as well.
volunteering | paid work / volunteering | find a place to volunteer
Volunteers give their time without pay. | Helping others makes many people happier.
good manners | manners at home / manners at work | behave well at a formal dinner
Saying please and thank you costs nothing. | Manners differ from country to country.
newspapers | newspapers / social media | tell true news from false news
A good newspaper names its sources. | Headlines are written to catch the eye.
schools | small classes / large classes | make homework less of a fight
Children learn better when they feel safe. | In many countries school begins at the age of six.
# mathematics
fractions | fractions / percentages | explain fractions with a pizza
One half is the same as two quarters. | A fraction shows a part of a whole.
averages | the mean / the median | find the average of a few numbers
The mean is the sum divided by the count. | One very large number can change the mean a lot.
probability | chance / skill | explain chance with a coin
A fair coin shows heads in about half of many throws. | A die has six equally likely sides.
measuring | metres / feet | measure a room for new furniture
A metre has one hundred centimetres. | It is wise to measure twice and cut once.
triangles | triangles / squares | draw a right angle without tools
The angles of a triangle add up to 180 degrees. | Triangles make bridges and roofs stiff.
clocks and calendars | clocks / calendars | teach a child to tell the time
A leap year has 366 days. | There are sixty minutes in an hour.
"""

# Styles, by the kind of answer a task asks for. Each is one constraint in several wordings.
TEXT_STYLES = {
    "one sentence": ("Answer in one sentence.", "One sentence, please.", "Keep it to a single sentence."),
    "two sentences": ("Use two sentences.", "Two sentences are enough.", "In two sentences, please."),
    "three sentences": ("Use at most three sentences.", "No more than three sentences.", "Three sentences at most."),
    "for a child": ("Say it in two sentences that a six-year-old understands.", "My daughter is seven, so keep it short and very simple.", "Make it short enough for a young child."),
    "list of three": ("Give it as a list of three short points.", "Three short bullet points, please.", "Put it in a list of three short items."),
    "formal": ("Be formal and use no more than two sentences.", "Write one or two formal sentences.", "Use a formal tone and keep it brief."),
    "friendly": ("Be friendly and brief, two sentences at most.", "Use a warm, friendly tone and only two sentences.", "Tell me in a sentence or two, like a friend would."),
    "no jargon": ("Avoid jargon and keep it to two sentences.", "No technical words please, and keep it short.", "Use plain words, two sentences at most."),
    "few words": ("Use fewer than 25 words.", "Stay under 30 words.", "In 20 words or so."),
    "with an example": ("Give one everyday example, in two sentences altogether.", "Two sentences, one of them an example.", "Add one short example and stop there."),
    "for a busy reader": ("I am in a hurry, so one or two sentences only.", "Just the main point, briefly.", "Get straight to the point in one or two sentences."),
    "for a learner of English": ("I am still learning English, so use two easy sentences.", "Use short, easy English sentences, two or three at most.", "Please use simple English and keep it short."),
    "no introduction": ("Skip the introduction and answer in two sentences.", "No preamble, just a short answer.", "Start right away and stop after two sentences."),
    "for a grandparent": ("Say it the way you would to my grandmother, in two sentences.", "It is for my grandfather, so be patient but brief."),
    "with humour": ("Make it a little funny, in one or two sentences.", "Add a touch of humour and keep it to two sentences."),
    "confident": ("Sound sure of yourself, and use two short sentences.", "Be direct: one or two short sentences."),
}  # fmt: skip
LIST_STYLES = {
    "list of three": ("Just three short items.", "Three short bullet points.", "As a list of three, a few words each."),
    "numbered": ("Number them 1 to 3 and keep each one short.", "A numbered list of three short lines, please."),
    "one line": ("Put all three on one line, with commas between them.", "Three items on a single line."),
    "no explanations": ("Three items, no explanations.", "Name three and do not explain them."),
    "one sentence": ("Name three in one sentence.", "Give three of them in a single sentence."),
    "for a beginner": ("Three short ones that suit a beginner.", "I am a beginner, so three simple ones, please."),
    "most important first": ("Three short items, the most important first.", "Only the top three, very briefly."),
    "for a poster": ("It is for a poster, so three items of at most six words.", "Three lines that fit on a small poster."),
}  # fmt: skip
TONE_STYLES = {
    "cheerful": ("Make it cheerful.", "Keep the mood bright."),
    "calm": ("Give it a calm tone.", "Keep it gentle."),
    "plain": ("Use plain words.", "No fancy words, please."),
    "formal": ("Keep it formal.", "The tone should be formal."),
    "friendly": ("Keep it friendly.", "Make it sound warm."),
    "for children": ("It is for children.", "Children should enjoy it."),
    "funny": ("Make it a bit funny.", "A smile would be welcome."),
    "serious": ("Keep it serious.", "It should sound serious."),
    "short": ("As short as you can.", "Shorter is better."),
    "": ("",),
}
CLOSED_STYLES = {
    "just the answer": ("Just the answer, please.", "Give only the answer.", "No explanation needed."),
    "with a reason": ("Give the answer and a short reason.", "Add a reason in a few words.", "Answer in one sentence and say why."),
    "full sentence": ("Answer with a full sentence.", "One complete sentence, please."),
    "very brief": ("Be very brief.", "A short answer is fine."),
    "": ("",),
}  # fmt: skip
EDIT_STYLES = {
    "only the result": ("Give me only the new text.", "Only the result, please."),
    "one sentence": ("It should stay one sentence.", "Keep it to one sentence."),
    "simple": ("Use simple words.", "Keep it easy to read."),
    "no more": ("Do not add anything new.", "Keep the meaning as it is."),
    "": ("",),
}
SHORT_STYLES = {
    "only the result": ("Only the result, please.", "Just that, nothing else."),
    "no explanations": ("Do not explain it.", "No explanation needed."),
    "simple": ("Use simple words.", "Plain words, please."),
    "": ("",),
}
STYLES = {
    "text": TEXT_STYLES,
    "single": {name: words for name, words in TEXT_STYLES.items() if name != "list of three"},
    "short": SHORT_STYLES,
    "list": LIST_STYLES,
    "tone": TONE_STYLES,
    "closed": CLOSED_STYLES,
    "edit": EDIT_STYLES,
}

# Tasks: the kind of style, then wordings. {t} topic, {a} {b} things to compare, {goal}, {fact},
# {text} a short passage, {bad} a sentence with mistakes, {blank} a gap, {who} a name, ...
TASKS = {
    "explain": ("text", ("Explain the basics of {t}.", "Can you explain {t} to me?", "I know nothing about {t}. Where do I start?", "Help me understand {t}.")),
    "define": ("text", ('What do people mean by "{t}"?', 'Define the term "{t}".', 'How would a dictionary describe "{t}"?')),
    "why it matters": ("text", ("Why do people care about {t}?", "Why is it worth knowing something about {t}?", "Give me a good reason to learn about {t}.")),
    "compare": ("text", ("What is the difference between {a} and {b}?", "Compare {a} with {b}.", "{a} or {b}: how do they differ?", "How are {a} and {b} alike, and how are they different?")),
    "choose": ("single", ("Which would you pick, {a} or {b}, and why?", "I can't decide between {a} and {b}. What do you think?", "Make the case for {a} over {b}.")),
    "advise": ("text", ("I want to {goal}. What is your best advice?", "Any tips for someone who wants to {goal}?", "My friend {who} would like to {goal}. What should I tell them?")),
    "first step": ("single", ("What is the very first thing to do if I want to {goal}?", "I'd like to {goal} but don't know how to begin. What comes first?")),
    "analogy": ("single", ("Give me an analogy for {t}.", "What is {t} like? Compare it with something from the kitchen.", "Find a comparison from daily life that makes {t} easier to understand.")),
    "myth": ("single", ("What is something that people often get wrong about {t}?", "Tell me one common misunderstanding about {t}.", "Correct a popular myth about {t}.")),
    "interesting fact": ("single", ("Tell me something interesting about {t}.", "What is a surprising thing about {t}?", "Share one fact about {t} that I can tell at dinner.")),
    "describe": ("text", ("Describe {t} to someone who has never heard of it.", "How would you describe {t}?", "Paint a picture of {t} in words.")),
    "reply": ("single", ('A friend asks: "Why should I care about {t}?" Write a reply.', '{who} wrote to me: "I failed when I tried to {goal}." What can I answer?', "Someone in a forum asks how to {goal}. Write a helpful reply.")),
    "introduce": ("single", ("Write the opening of a talk about {t}.", "I have to introduce {t} to my class. Write what I should say first.", "Begin a blog post about {t}.")),
    "list": ("list", ("List things that have to do with {t}.", "Which words come to mind when you think of {t}?", "Name the most important things to know about {t}.")),
    "steps": ("list", ("What are the steps if I want to {goal}?", "How do I {goal}, step by step?", "Give me a short plan to {goal}.")),
    "mistakes": ("list", ("Which mistakes do people make when they try to {goal}?", "What should I avoid if I want to {goal}?", "What can go wrong when someone tries to {goal}?")),
    "pros": ("list", ("What are good things about {t}?", "What speaks in favour of {a}?", "Give advantages of {a} compared with {b}.")),
    "pros and cons": ("text", ("What are the pros and cons of {a}?", "Name one advantage and one drawback of {a}.", "One good side and one bad side of {b}, please.")),
    "questions": ("list", ("Write questions for a quiz about {t}.", "What questions could I ask an expert on {t}?", "I am going to interview someone about {t}. What should I ask?")),
    "checklist": ("list", ("What do I need in order to {goal}?", "Make a checklist for someone who wants to {goal}.")),
    "poem": ("tone", ("Write a poem of two lines about {t}.", "Write a three-line poem about {t}.", "Give me a short rhyme about {t}, two lines only.")),
    "story": ("tone", ("Tell a story about {t} in three sentences.", "Write a tiny story, three sentences at most, in which {who} tries to {goal}.", "Make up a two-sentence story about {who} and {t}.")),
    "email": ("tone", ("Write a two-sentence email to {who} about {t}.", "Write a very short email that asks {who} for help to {goal}.", "Draft a short message, two sentences, inviting {who} to an evening about {t}.")),
    "slogan": ("tone", ("Write a slogan for a campaign about {t}.", "Invent a slogan of at most eight words about {t}.", "I need a catchy line for a course on {t}.")),
    "headline": ("tone", ("Write a newspaper headline about {t}.", "Suggest one title for an article on how to {goal}.", "What would be a good title for a book about {t}?")),
    "post": ("tone", ("Write a one-sentence social media post about {t}.", "Write a post of two short sentences about wanting to {goal}.")),
    "dialogue": ("tone", ("Write a dialogue of two lines between {who} and a friend about {t}.", "Two people talk about {a} and {b}. Write one line for each of them.")),
    "thanks": ("tone", ("Write a thank-you note of two sentences to {who}, who helped me to {goal}.", "Thank {who} for a talk about {t}, in one or two sentences.")),
    "rewrite": ("edit", ('Rewrite this sentence in other words: "{fact}"', 'Say this differently: "{fact}"', "Can you rephrase the following?\n\n{fact}")),
    "rewrite for a child": ("edit", ('Rewrite this so that a small child understands it: "{fact}"', "Make this sentence easier to read.\n\n{fact}")),
    "make formal": ("edit", ('Make this message sound more formal: "hey {who}, wanna talk about {t} later?"', 'Turn this into a polite request: "{who}, tell me how to {goal}."')),
    "correct grammar": ("edit", ('Correct the mistakes in this sentence: "{bad}"', "Fix the grammar:\n\n{bad}", 'What is wrong with this sentence? Write it correctly: "{bad}"')),
    "make a question": ("short", ('Turn this statement into a question: "{fact}"', "Write a question to which this is the answer.\n\n{fact}")),
    "summarise": ("edit", ("Summarise this text in one sentence.\n\n{text}", "What is the main point of the text below? One sentence, please.\n\n{text}", "{text}\n\nSum this up in one short sentence.")),
    "title": ("short", ("Give this text a short title.\n\n{text}", "{text}\n\nWhat would be a good title for this paragraph?")),
    "keywords": ("short", ("Pick three keywords from this text.\n\n{text}", "{text}\n\nWhich three words matter most here?")),
    "question answering": ("closed", ("{text}\n\n{question}", "Read the text and answer the question.\n\nText: {text}\nQuestion: {question}", "{question} Use only this text: {text}")),
    "classify topic": ("closed", ('Is this sentence about {choices}? "{fact}"', "Sort this sentence into one of these groups: {choices}.\n\n{fact}")),
    "classify mood": ("closed", ('Is this comment positive or negative? "{review}"', "Decide whether the writer is happy or unhappy.\n\n{review}")),
    "true or false": ("closed", ("True or false? {fact}", 'Is this statement correct: "{fact}"')),
    "fill the gap": ("closed", ("Fill in the missing word: {blank}", "Which word belongs in the gap?\n\n{blank}")),
}  # fmt: skip

NAMES = (
    "Amina Ben Carla Dmitri Elena Farid Grace Hugo Ines Jonas Keiko Leila Marco Nadia Omar Priya "
    "Quentin Rosa Samuel Tara Umar Vera Wei Yusuf Zoe"
).split()
PLACES = (
    "a small school", "the town library", "an evening course", "a youth club", "the local museum",
    "a community centre", "a summer camp", "a village hall",
)  # fmt: skip
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
REVIEWS = (
    "I tried to {goal} with this guide and it worked at once. I would use it again.",
    "Thanks to this video I can finally {goal}. Very clear and fun to watch.",
    "I bought the book about {t} and could hardly put it down.",
    "The course on {t} was far too slow, and I learnt almost nothing.",
    "I wanted to {goal}, but the instructions were wrong and I gave up.",
    "The talk about {t} was so dull that half of the audience left.",
)
SLIPS = (
    (" is ", " are "), (" are ", " is "), (" has ", " have "), (" was ", " were "),
    (" were ", " was "), (" need ", " needs "), (" makes ", " make "), (" should be ", " should been "),
    (" does ", " do "), (" an ", " a "), (" a ", " an "), (" the ", " "), (" than ", " then "),
    (" to ", " too "), (" of ", " off "), (" in ", " on the "),
)  # fmt: skip


def read_topics():
    """The table above as dictionaries; `domain` is the heading they stand under."""
    topics, domain, first = [], None, None
    for line in TOPICS.strip().splitlines():
        if line.startswith("# "):
            domain = line[2:]
        elif first is None:
            first = [part.strip() for part in line.split("|")]
        else:
            name, pair, goal = first
            a, b = pair.split(" / ")
            facts = tuple(part.strip() for part in line.split("|"))
            topics.append({"domain": domain, "t": name, "a": a, "b": b, "goal": goal, "facts": facts})
            first = None
    return topics


def with_mistakes(sentence, rng):
    """The sentence with one or two typical slips, never unchanged."""
    slips = [slip for slip in SLIPS if slip[0] in sentence]
    for old, new in rng.sample(slips, min(2, len(slips))):
        sentence = sentence.replace(old, new, 1)
    if len(slips) < 2 or rng.random() < 0.3:
        sentence = sentence[0].lower() + sentence[1:].rstrip(".")
    return sentence


def with_gap(sentence, rng):
    words = sentence.rstrip(".").split()
    by_length = sorted(range(1, len(words)), key=lambda i: -len(words[i]))
    words[rng.choice(by_length[:2])] = "____"
    return " ".join(words) + "."


def passage(topic, who, rng):
    """A short text about somebody and the topic, with a question that it answers."""
    place, day, years = rng.choice(PLACES), rng.choice(DAYS), rng.randint(2, 19)
    start, questions = rng.choice((
        (f"{who} teaches at {place} and has given a talk about {topic['t']} every {day} for "
         f"{years} years.",
         (f"Where does {who} teach?", f"On which day does {who} give the talk?",
          f"For how many years has {who} given the talk?")),
        (f"Last {day}, {who} went to {place} to find out how to {topic['goal']}, together with "
         f"{years} other people.",
         (f"When did {who} go there?", f"How many other people were with {who}?",
          f"What did {who} want to find out?")),
        (f"{who} borrowed a book about {topic['t']} from {place} and finished it on {day}, after "
         f"{years} days.",
         (f"Where did the book come from?", f"How long did {who} need for the book?",
          f"What was the book about?")),
    ))  # fmt: skip
    facts = rng.sample(topic["facts"], 2)
    text = " ".join([start, *facts] if rng.random() < 0.6 else [*facts, start])
    return text, rng.choice(questions)


def choices(topic, domains, rng):
    others = rng.sample([d for d in domains if d != topic["domain"]], 2)
    names = rng.sample([topic["domain"], *others], 3)
    return f"{names[0]}, {names[1]} or {names[2]}"


def compose(topic, task, domains):
    """One prompt for a topic and a task; a function of the two names and the seed alone."""
    rng = random.Random(f"{SEED}/{topic['t']}/{task}")
    kind, wordings = TASKS[task]
    who, fact = rng.choice(NAMES), rng.choice(topic["facts"])
    text, question = passage(topic, who, rng)
    fields = {name: topic[name] for name in ("t", "a", "b", "goal")}
    if rng.random() < 0.5:
        fields["a"], fields["b"] = topic["b"], topic["a"]
    fields |= {"who": who, "fact": fact, "text": text, "question": question}
    fields["bad"] = with_mistakes(fact, rng)
    fields["blank"] = with_gap(fact, rng)
    fields["choices"] = choices(topic, domains, rng)
    fields["review"] = rng.choice(REVIEWS).format(**fields)
    body = rng.choice(wordings).format(**fields)
    body = body[0].upper() + body[1:]
    style = rng.choice(sorted(STYLES[kind]))
    return add_style(kind, body, rng.choice(STYLES[kind][style]), rng), style


def add_style(kind, body, constraint, rng):
    """The constraint after the request, on a line of its own where a quoted text ends the prompt."""
    if not constraint:
        return body
    if kind in ("text", "single", "list") and rng.random() < 0.12:
        return f"{constraint} {body}"
    return f"{body}\n\n{constraint}" if "\n" in body else f"{body} {constraint}"


def main():
    topics = read_topics()
    domains = sorted({topic["domain"] for topic in topics})
    order = {
        topic["t"]: random.Random(f"{SEED}/{topic['t']}").sample(sorted(TASKS), len(TASKS))
        for topic in topics
    }
    # Round by round, one task a topic: every topic is used equally often on both sides.
    pairs = [(topic, order[topic["t"]][k]) for k in range(len(TASKS)) for topic in topics]
    seen, rows, styles = set(), {"train": [], "held_out": []}, set()
    for topic, task in pairs:
        split = "train" if len(rows["train"]) < TRAIN else "held_out"
        if split == "held_out" and len(rows[split]) == HELD_OUT:
            break
        prompt, style = compose(topic, task, domains)
        key = " ".join(prompt.lower().split())
        if key not in seen:
            seen.add(key)
            styles.add(style)
            rows[split].append(prompt)
    if len(rows["held_out"]) < HELD_OUT:
        sys.exit("make_prompts: the tables give too few different prompts")
    for split, made in rows.items():
        random.Random(f"{SEED}/{split}").shuffle(made)
        for number, prompt in enumerate(made, 1):
            row = {"id": f"{split}-{number:04d}", "split": split, "prompt": prompt}
            print(json.dumps(row, ensure_ascii=False))
    print(
        f"{len(rows['train'])} training and {len(rows['held_out'])} held-out prompts: "
        f"{len(topics)} topics in {len(domains)} domains, {len(TASKS)} tasks, "
        f"{len(styles - {''})} styles",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
